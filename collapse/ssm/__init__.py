"""Floor 8. State space models and attention as one operator, O = M(X) X V.

Each mixer is a frozen value with the n × n matrix that mixes the tokens, and with a recurrent twin.

>>> list(MIXERS)[0]
'softmax attention'
"""

from collapse.ssm.attention import LinearAttention, SoftmaxAttention
from collapse.ssm.fixed import LTI, discretise
from collapse.ssm.mixer import Mixer
from collapse.ssm.selective import ScalarSSM, SelectiveSSM

MIXERS: dict[str, type[SoftmaxAttention | LinearAttention | LTI | SelectiveSSM | ScalarSSM]] = {
    "softmax attention": SoftmaxAttention,
    "linear attention": LinearAttention,
    "LTI SSM (S4)": LTI,
    "selective SSM (S6)": SelectiveSSM,
    "scalar SSM (Mamba-2)": ScalarSSM,
}

__all__ = [
    "LTI",
    "MIXERS",
    "LinearAttention",
    "Mixer",
    "ScalarSSM",
    "SelectiveSSM",
    "SoftmaxAttention",
    "discretise",
]
