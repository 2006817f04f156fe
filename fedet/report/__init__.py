"""Reports: notebooks run into one page that opens anywhere, offline."""
