"""Croissant metadata (MLCommons, 1.0) with the Responsible-AI fields."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from probate.core.cache import file_digest
from probate.report.cards.facts import Facts

CR, RAI, DCT = (
    "http://mlcommons.org/croissant/",
    "http://mlcommons.org/croissant/RAI/",
    "http://purl.org/dc/terms/",
)
TERMS = (
    "citeAs column conformsTo data dataType equivalentProperty examples extract field fileProperty "
    "fileObject fileSet format includes isLiveDataset jsonPath key md5 parentField path recordSet "
    "references regex repeated replace samplingRate separator source subField transform"
).split()

NESTED = {"groups", "provenance"}
"""Mappings, which Croissant's flat fields cannot describe. The data card describes them."""


def _context() -> dict[str, Any]:
    """Return the JSON-LD context."""
    context: dict[str, Any] = {
        "@language": "en",
        "@vocab": "https://schema.org/",
        "sc": "https://schema.org/",
        "cr": CR,
        "rai": RAI,
        "dct": DCT,
    }
    context |= {term: f"cr:{term}" for term in TERMS}
    context["conformsTo"] = "dct:conformsTo"
    context["data"] = {"@id": "cr:data", "@type": "@json"}
    context["examples"] = {"@id": "cr:examples", "@type": "@json"}
    context["dataType"] = {"@id": "cr:dataType", "@type": "@vocab"}
    return context


def croissant(facts: Facts, folder: Path) -> str:
    """Return the text of `croissant.json`.

    Parameters
    ----------
    facts : Facts
        The facts of the data set.
    folder : Path
        Folder with the files of the facts.

    Returns
    -------
    str
        JSON. The date is that of the newest file, so the text is the same each time.
    """
    newest = max(((folder / f.path).stat().st_mtime for f in facts.files), default=0.0)
    files = [
        {
            "@type": "cr:FileObject",
            "@id": f.path,
            "name": f.path,
            "description": f.what,
            "contentUrl": f.path,
            "contentSize": f"{(folder / f.path).stat().st_size} B",
            "encodingFormat": "application/jsonlines",
            "sha256": file_digest(folder / f.path),
        }
        for f in facts.files
    ]
    sets = [
        {
            "@type": "cr:RecordSet",
            "@id": (own := Path(f.path).stem),
            "name": own,
            "description": f.what,
            "field": [
                {
                    "@type": "cr:Field",
                    "@id": f"{own}/{name}",
                    "name": name,
                    "description": what,
                    "dataType": "sc:Text",
                    "source": {"fileObject": {"@id": f.path}, "extract": {"column": name}},
                }
                for name, what in facts.fields.items()
                if name not in NESTED
            ],
        }
        for f in facts.files
    ]
    whole = {
        "@context": _context(),
        "@type": "sc:Dataset",
        "name": facts.name,
        "description": facts.description,
        "conformsTo": [CR + "1.0", RAI + "1.0"],
        "version": "1.0.0",
        "datePublished": datetime.fromtimestamp(newest, UTC).date().isoformat(),
        "license": "https://spdx.org/licenses/NOASSERTION",
        "url": "https://example.org/replace-when-published",
        "citeAs": f"{facts.name}, a data set described by Probate {facts.version}",
        "rai:dataCollection": " ".join(facts.made_by),
        "rai:dataCollectionType": ["Software Collection"],
        "rai:dataPreprocessingProtocol": facts.steps,
        "rai:dataBiases": facts.biases + facts.results,
        "rai:dataLimitations": facts.limits,
        "rai:dataUseCases": ["Measuring what a model inherits from training data."],
        "rai:personalSensitiveInformation": [
            f"Groups of the dimension {facts.dimension}, given or detected in the text."
        ],
        "distribution": files,
        "recordSet": sets,
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
