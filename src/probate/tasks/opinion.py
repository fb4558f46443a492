"""Opinion classification: which answer does the model read out of what a person says to a survey statement?"""

from __future__ import annotations

from probate.tasks.occupation import Occupation


class Opinion(Occupation):
    """Held-out answers to survey statements, the options as choices. Measures as for occupations.

    On a balanced test set the share read as the option that is stereotyped for a group differs between groups only
    by errors toward the stereotype.
    """

    name = "opinion"
    title = "Opinion classification"
    source = "held-out answers of the study's data, in the manner of opinion surveys; the paper's culture dimension (arXiv 2502.04419)"
