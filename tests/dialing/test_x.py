from tests.journeys.invariants import broken
from tests.journeys.stage import TRANSFERRED, Stage


async def test_it(stage: Stage, a_lead):
    (lead,) = await stage.send(a_lead(phone=TRANSFERRED))
    await stage.passes(hours=1)
    ev = await stage.events()
    assert broken(ev, stage.phones, slots=5, cap=5) == {}
    assert await stage.status(lead) == "qualified"
