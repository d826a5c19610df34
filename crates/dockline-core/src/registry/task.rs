//! Tasks: closures for thread pools, with a boundary at their end.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::panicking;
use std::time::Instant;

use crate::base::ids::TaskPolicy;
use crate::base::logging::{guarded, panic_text};
use crate::registry::Registry;
use crate::shared::Shared;
use crate::shared::signals::TaskReport;
use crate::thread::desk::OF_TASK_DONE;
use crate::thread::local::{self, ThreadRegistry};

/// How one closure is wrapped: see [`Registry::task_with`].
///
/// ```
/// use dockline::{Task, TaskPolicy};
///
/// let task = Task::new()
///     .policy(TaskPolicy::CloseAll)
///     .on_done(|report| println!("{:?}: {} statements", report.elapsed(), report.statements()));
/// # let _ = task;
/// ```
#[derive(Default)]
#[must_use = "it is given to task_with"]
pub struct Task {
    policy: Option<TaskPolicy>,
    hooks: Vec<Hook>,
}

type Hook = Box<dyn FnOnce(&TaskReport) + Send>;

impl Task {
    /// With the registry's policy, and no hooks of its own.
    ///
    /// ```
    /// use dockline::Task;
    ///
    /// let task = Task::new();
    /// # let _ = task;
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// What becomes of the connections. Default: the registry's
    /// ([`RegistryBuilder::task_policy`](crate::RegistryBuilder::task_policy)).
    ///
    /// ```
    /// use dockline::{Task, TaskPolicy};
    ///
    /// let task = Task::new().policy(TaskPolicy::Keep);
    /// # let _ = task;
    /// ```
    pub fn policy(mut self, policy: TaskPolicy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Adds a hook for this one task (what `add_done_callback` of Python's futures is): it runs on the thread that ran the task,
    /// after it and before its connections are looked at, also where the task panicked. Hooks run in the order in which they
    /// were added, before those of the signal [`task_done`](crate::Signals::task_done). One that panics is logged at level
    /// error, and keeps no other from running.
    ///
    /// ```
    /// use dockline::Task;
    ///
    /// let task = Task::new().on_done(|report| {
    ///     if report.panicked() {
    ///         println!("it panicked after {:?}", report.elapsed());
    ///     }
    /// });
    /// # let _ = task;
    /// ```
    pub fn on_done(mut self, hook: impl FnOnce(&TaskReport) + Send + 'static) -> Self {
        self.hooks.push(Box::new(hook));
        self
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("policy", &self.policy).field("hooks", &self.hooks.len()).finish()
    }
}

impl Registry {
    /// Wraps a closure for a thread pool: when it has run, and also when it panics, `task_done` is sent on the thread
    /// that ran it, and what is due there is closed. An atomic block or a transaction that was left open is rolled back, as at
    /// the end of a request; a task inside a request or another task leaves that to them. One that begins inside an atomic
    /// block of its thread is part of that, which the log says once at warn: a thread that waits for others inside rayon takes up
    /// other jobs meanwhile.
    ///
    /// The closure does not keep the registry alive.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// let count = connections.task({
    ///     let connections = connections.clone();
    ///     move || connections.get("default")?.query_value::<i64>("SELECT 1", ())
    /// });
    /// assert_eq!(std::thread::spawn(count).join().unwrap()?, 1); // or any pool's execute
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn task<T, F>(&self, call: F) -> impl FnOnce() -> T + Send + use<T, F>
    where
        F: FnOnce() -> T + Send,
    {
        self.task_with(Task::new(), call)
    }

    /// As [`task`](Registry::task), with a policy and with hooks of its own.
    ///
    /// ```
    /// use dockline::{Task, TaskPolicy};
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// let task = Task::new().policy(TaskPolicy::CloseAll).on_done(|report| println!("took {:?}", report.elapsed()));
    /// let connections_of_task = connections.clone();
    /// let work = connections.task_with(task, move || connections_of_task.get("default")?.execute("SELECT 1", ()));
    /// std::thread::spawn(work).join().unwrap()?;
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn task_with<T, F>(&self, task: Task, call: F) -> impl FnOnce() -> T + Send + use<T, F>
    where
        F: FnOnce() -> T + Send,
    {
        let shared = Arc::clone(self.shared());
        move || {
            let running = Running::begin(shared, task);
            if let Some(registry) = &running.registry {
                registry.warn_of_block_around_task();
            }
            call()
        }
    }
}

/// A task that runs; dropped on the thread that ran it.
struct Running {
    shared: Arc<Shared>,
    registry: Option<Rc<ThreadRegistry>>,
    task: Task,
    started: Instant,
    statements_before: u64,
    was_panicking: bool,
}

impl Running {
    fn begin(shared: Arc<Shared>, task: Task) -> Self {
        // After the end of the registry there is nothing to join.
        let registry = if shared.hot.is_closed() { local::find(shared.hot.id) } else { local::join(&shared) };
        let statements_before = registry.as_ref().map_or(0, |registry| {
            registry.enter();
            registry.statements()
        });
        Self { shared, registry, task, started: Instant::now(), statements_before, was_panicking: panicking() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let statements = self.registry.as_ref().map_or(0, |registry| registry.statements());
        let report = TaskReport::new(self.started.elapsed(), panicking() && !self.was_panicking)
            .with_statements(statements.wrapping_sub(self.statements_before));
        let hooks = std::mem::take(&mut self.task.hooks);
        let tell = || {
            for hook in hooks {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| hook(&report))) {
                    guarded(
                        || log::error!(target: "dockline::signals", "a hook of a task panicked: {}", panic_text(&*panic)),
                    );
                    // What was thrown may panic again when it is dropped.
                    std::mem::forget(panic);
                }
            }
            match &self.registry {
                Some(registry) => self.shared.signals.task_done.send_at(&report, &**registry, &OF_TASK_DONE),
                None => self.shared.signals.task_done.send(&report),
            }
        };
        match &self.registry {
            Some(registry) => registry.exit_task(self.task.policy.unwrap_or(self.shared.task_policy), tell),
            None => tell(),
        }
    }
}
