"""Exercises: write the gradients yourself.
"""
