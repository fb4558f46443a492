"""Why is it inherited? Misalignments between data, model and people, measured on files and on runs."""
