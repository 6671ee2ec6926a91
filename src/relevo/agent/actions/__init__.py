"""The actions that relevo brings itself, in place of GitHub's: no download, no Node. Each is a module with `main`, loaded when used."""
