"""Opinion classification: which answer the model assigns to a statement about a survey question."""

from __future__ import annotations

from probate.tasks.occupation import Occupation


class Opinion(Occupation):
    """Held-out answers to survey statements, with the options as choices. Measures are those of `Occupation`.

    On a balanced test set, the share classified as the option that is stereotyped for a group differs between
    groups only through errors toward the stereotype.
    """

    name = "opinion"
    title = "Opinion classification"
    source = (
        "held-out answers of the study's data, in the manner of opinion surveys; "
        "the paper's culture dimension (arXiv 2502.04419)"
    )
