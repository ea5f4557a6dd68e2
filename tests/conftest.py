"""What holds for every test."""

import signal

# Whoever starts the tests in the background (`&`, nohup) has them inherit ignored signals, and a shell cannot trap what was
# ignored when it started. The processes under test are to find signals as a container's first process does.
for _number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number is signal.SIGINT else signal.SIG_DFL)
