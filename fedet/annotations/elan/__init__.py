"""ELAN: the file format (`eaf`), files read (`reader`, `text`) and written (`writer`)."""
