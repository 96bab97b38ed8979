"""Evaluators generated from judgements: rules first, else a judge whose criteria are optimised."""
