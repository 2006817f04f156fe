"""Interval tables and the files of other tools: ELAN, BORIS, WebVTT, ActivityNet, CSV."""
