"""Optimizers and learning-rate schedules: annotated factories for paddle.optimizer, to be named in YAML."""

from ppface.optim.optimizers import SGD, Adam, AdamW, Momentum, RMSProp
from ppface.optim.schedules import Constant, Cosine, MultiStep, Polynomial

__all__ = ["SGD", "Adam", "AdamW", "Constant", "Cosine", "Momentum", "MultiStep", "Polynomial", "RMSProp"]
