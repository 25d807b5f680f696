"""Writes the generated parts of README.md and docs/ from what the project declares and measured."""
