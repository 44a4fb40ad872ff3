//! Tasks on a virtual clock. Time stands still while a task runs, and then jumps to the next task that is due. The order is a
//! function of the times alone, so the same run is the same each time.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// The times at which tasks continue. Tasks only ever wait for time, so each has at most one.
#[derive(Debug, Clone, Default)]
pub(super) struct Timers(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Milliseconds since the beginning of the run.
    now: u64,
    /// Of equal times, the first that was asked for is the first.
    asked: u64,
    due: BinaryHeap<Reverse<(u64, u64, usize)>>,
    /// The task that runs.
    current: usize,
}

impl Timers {
    pub(super) fn now(&self) -> u64 {
        self.0.lock().unwrap().now
    }

    /// Lets this many milliseconds pass.
    pub(super) async fn sleep(&self, millis: u64) {
        let mut is_asked = false;
        std::future::poll_fn(move |_| {
            if is_asked {
                return Poll::Ready(());
            }
            is_asked = true;
            let mut state = self.0.lock().unwrap();
            let (at, task) = (state.now + millis, state.current);
            state.ask(at, task);
            Poll::Pending
        })
        .await;
    }
}

impl State {
    fn ask(&mut self, at: u64, task: usize) {
        self.asked += 1;
        self.due.push(Reverse((at, self.asked, task)));
    }
}

/// Runs tasks.
#[derive(Default)]
pub(super) struct Kernel {
    pub(super) timers: Timers,
    tasks: RefCell<Vec<Option<Task>>>,
    free: RefCell<Vec<usize>>,
}

impl Kernel {
    /// Adds a task, which begins now.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let (mut tasks, task) = (self.tasks.borrow_mut(), Some(Box::pin(task) as Task));
        let number = match self.free.borrow_mut().pop() {
            Some(free) => {
                tasks[free] = task;
                free
            }
            None => {
                tasks.push(task);
                tasks.len() - 1
            }
        };
        let mut state = self.timers.0.lock().unwrap();
        let now = state.now;
        state.ask(now, number);
    }

    /// Runs the next task that is due, after `moved` has set the clocks. False: there is none.
    pub(super) fn step(&self, moved: impl FnOnce(u64)) -> bool {
        let number = {
            let mut state = self.timers.0.lock().unwrap();
            let Some(Reverse((at, _, number))) = state.due.pop() else {
                return false;
            };
            if at > state.now {
                moved(at);
            }
            (state.now, state.current) = (at, number);
            number
        };
        let task = self.tasks.borrow_mut()[number].take();
        let mut task = task.expect("a task that is due exists");
        let mut context = Context::from_waker(Waker::noop());
        if task.as_mut().poll(&mut context).is_pending() {
            self.tasks.borrow_mut()[number] = Some(task);
        } else {
            self.free.borrow_mut().push(number);
        }
        true
    }
}
