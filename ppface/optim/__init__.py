"""Optimizers and learning-rate schedules: annotated factories over paddle.optimizer, so that YAML can name them."""

from ppface.optim.optimizers import SGD, Adam, AdamW, Momentum, RMSProp
from ppface.optim.schedules import Constant, Cosine, MultiStep, Polynomial

__all__ = ["SGD", "Adam", "AdamW", "Constant", "Cosine", "Momentum", "MultiStep", "Polynomial", "RMSProp"]
