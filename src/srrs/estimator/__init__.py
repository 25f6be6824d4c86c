"""A scikit-learn classifier for images or embeddings whose labels are partly wrong."""

from srrs.estimator.classifier import RobustClassifier
from srrs.estimator.inputs import certain

__all__ = ["RobustClassifier", "certain"]
