from __future__ import annotations

import asyncio
import threading

from palomar_server.waker import Waker


def never() -> bool:
    return False


async def test_a_notification_from_another_thread_wakes_all() -> None:
    waker = Waker(asyncio.get_running_loop())
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(waker.wait(never))
        await asyncio.sleep(0)
        threading.Thread(target=waker.notify).start()


async def test_a_notification_with_nobody_waiting_is_not_kept() -> None:
    waker = Waker(asyncio.get_running_loop())
    waker.notify()
    waiting = asyncio.Event()

    def news() -> bool:
        waiting.set()
        return False

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(waker.wait(news))
        await waiting.wait()
        await asyncio.sleep(0)
        assert not task.done()
        waker.notify()


async def test_news_that_came_before_the_wait_ends_it() -> None:
    waker = Waker(asyncio.get_running_loop())
    async with asyncio.timeout(10):
        await waker.wait(lambda: True)


async def test_a_notification_while_the_wait_begins_is_not_missed() -> None:
    waker = Waker(asyncio.get_running_loop())

    def news() -> bool:
        # The writer appends and notifies just after this reader looked.
        waker.notify()
        return False

    async with asyncio.timeout(10):
        await waker.wait(news)


async def test_a_wait_ends_with_its_time() -> None:
    waker = Waker(asyncio.get_running_loop())
    await waker.wait(never, timeout_s=0.001)
    assert not waker._waiting


async def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    waker = Waker(asyncio.get_running_loop())
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(waker.wait(never))
        await asyncio.sleep(0)
        assert len(waker._waiting) == 1
        task.cancel()
    assert not waker._waiting
    waker.notify()
    await asyncio.sleep(0)


async def test_many_notifications_are_one_wake_up() -> None:
    loop = asyncio.get_running_loop()
    waker = Waker(loop)
    releases: list[None] = []
    release = waker.wake

    def counted() -> None:
        releases.append(None)
        release()

    waker.wake = counted  # type: ignore[method-assign]  # counts what the loop was asked for
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(waker.wait(never))
        await asyncio.sleep(0)
        for _ in range(5):
            waker.notify()
    assert len(releases) == 1


async def test_a_reader_that_always_has_news_lets_others_run() -> None:
    waker = Waker(asyncio.get_running_loop())
    ran = False

    async def other() -> None:
        nonlocal ran
        ran = True

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(other())
        await waker.wait(lambda: True)
        assert ran


def test_a_notification_after_the_loop_has_closed_is_dropped() -> None:
    loop = asyncio.new_event_loop()
    waker = Waker(loop)
    waiter = waker.wait(never, timeout_s=0.001)
    loop.run_until_complete(waiter)
    loop.close()
    waker.notify()
