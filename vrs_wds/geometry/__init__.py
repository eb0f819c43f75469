"""Boxes and corners, in pixels; a function's name says what goes in and what comes out."""
