"""The pretend world: a platform that pretends, a clock that can be moved, synthetic leads, scenes and an inbox.

It is the production engine on a virtual clock: the same rows, jobs, gates and deliveries. Only the environment's time
is made up, and the people are.
"""
