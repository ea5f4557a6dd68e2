"""What holds for every test."""

import signal

from hypothesis import HealthCheck, Phase, settings

# How long a test takes says something of the machine, not of the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# `make mutate` runs the tests thousands of times: few examples, the same ones for every mutant, and not a word about those that
# fail.
settings.register_profile(
    "mutation",
    max_examples=15,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)

# Whoever starts the tests in the background (`&`, nohup) has them inherit ignored signals, and a shell cannot trap what was
# ignored when it started. The processes under test are to find signals as a container's first process does.
for _number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number is signal.SIGINT else signal.SIG_DFL)
