"""Mock LLM provider for demos, drills and tests: Anthropic Messages, OpenAI Chat and Responses, Gemini; failures on demand.

A scenario is picked by, first match wins: path prefix `/s/<scenario>/…` (put it into the base URL); an API key holding
`mock-<scenario>`; a model name holding `mock-<scenario>`; else `ok`. An unknown scenario is `ok`.

    ok            a text answer                           auth          the key is not accepted
    tool          calls the client's own tool, then text  context       the prompt is too long
    rate_limit    429, back in seconds                    model_404     no such model
    usage_limit   a subscription's window is spent        server_error  500
    billing       no money left                           html          502 with a page instead of JSON
    overloaded    529 or 503                              hang          no answer for a long time
    stream_error  an error after some content             slow          one event a second
    disconnect    the socket is cut after four events     max_tokens, refusal  the answer ends for that reason

Knobs follow with commas: `/s/usage_limit,skip=1,before=tool,window=120,run=a`.

    run=<id>           counts and lists the calls of one test or provider apart; the run without a name is shared
    every=<n>          only every n-th call of the run fails
    skip=<n>           the first n calls of the run are answered well, then it fails
    before=<scenario>  what those first calls look like (`tool`: a tool call)
    fail=<n>           after n calls of the run, the skipped ones included, later ones are `ok`
    window=<s>         fails from the first failing call until so many seconds later, for every caller, then is `ok` for good;
                       limits name that moment as their reset (Gemini names none)
    retry_after=<s>    seconds in `rate_limit` (2)
    resets_in=<s>      seconds until the reset that `usage_limit` names (9000)
    calls=<n>          how many times `tool` calls it, at once (1)
    gap=<s>            pause between stream events (0; 1 in `slow`); an answer in one piece takes as long as its stream
    seconds=<s>        how long `hang` hangs before it answers (3600)

Token counts are constant, so sums can be checked: 1200 of prompt of which 800 cached (Anthropic: 800 read and 100 written
come on top), 42 of output of which 7 are reasoning (Gemini: on top).

`GET /_mock/calls?run=<id>` lists the last calls with headers and bodies; the log has one JSON line for each, without them.
Headers are kept as they came: never point a client with a real key at it. State is in memory and ends with the process.
"""

from droveway.mockllm.server import app, serve

__all__ = ["app", "serve"]
