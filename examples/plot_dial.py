"""
X
=
x
"""
from skxmc import UniDECClassifier
print(UniDECClassifier)
