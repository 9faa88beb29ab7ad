//! Asks mounts how much room they have without ever waiting for one that does not answer.
//!
//! Questions go to a thread. When it hangs in one (a dead NFS server), it is left there with that mount and
//! another thread takes the rest: as many threads as mounts that hang, and no question is asked a second
//! time while the first is open. A round waits for [`GRACE`] at most, and not at all for mounts that hung
//! in an earlier one.

use kernel::statfs::{self, Space};
use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How statfs is done; tests give one that hangs.
pub(super) type Statfs = Arc<dyn Fn(&Path) -> std::io::Result<Space> + Send + Sync>;

/// How long a round waits for answers in all.
const GRACE: Duration = Duration::from_millis(100);

/// How long a question may take before another thread takes the next one.
const PATIENCE: Duration = Duration::from_millis(20);

/// What is known of a mount.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// Its room.
    Space(Space),
    /// What statfs said instead, worded as Go words it.
    Error(String),
    /// No answer for longer than the timeout.
    Stuck,
    /// No answer yet, and none from before.
    Waiting,
}

/// See the module.
pub(super) struct MountWatch {
    timeout: Duration,
    shared: Arc<Shared>,
    known: HashMap<PathBuf, Known>,
    round: u64,
}

#[derive(Default)]
struct Known {
    asked: Option<Instant>,
    last: Option<Answer>,
    round: u64,
}

struct Shared {
    statfs: Statfs,
    state: Mutex<State>,
    /// There is a question, or the watch ends.
    work: Condvar,
    /// There is an answer.
    done: Condvar,
}

#[derive(Default)]
struct State {
    questions: VecDeque<PathBuf>,
    answers: Vec<(PathBuf, Answer)>,
    idle: usize,
    threads: usize,
    ended: bool,
}

impl MountWatch {
    pub fn new(timeout: Duration, statfs: Statfs) -> MountWatch {
        let (state, work, done) = (Mutex::default(), Condvar::new(), Condvar::new());
        let shared = Arc::new(Shared { statfs, state, work, done });
        MountWatch { timeout, shared, known: HashMap::new(), round: 0 }
    }

    /// Asks all these paths; gives what is known of each, in their order.
    pub fn ask(&mut self, paths: &[PathBuf]) -> Vec<Answer> {
        self.round += 1;
        let now = Instant::now();
        let mut open = 0;
        let shared = self.shared.clone();
        let mut state = shared.lock();
        self.take(&mut state);
        for path in paths {
            let known = self.known.entry(path.clone()).or_default();
            known.round = self.round;
            if known.asked.is_none() {
                known.asked = Some(now);
                state.questions.push_back(path.clone());
                open += 1;
            }
        }
        if open > 0 {
            self.wait(state, open, now);
        } else {
            drop(state);
        }
        let round = self.round;
        // A mount that is gone is forgotten once its question was answered.
        self.known.retain(|_, k| k.round == round || k.asked.is_some());
        paths.iter().map(|path| self.answer(path)).collect()
    }

    fn wait(&mut self, mut state: MutexGuard<'_, State>, mut open: usize, start: Instant) {
        let shared = self.shared.clone();
        while open > 0 && start.elapsed() < GRACE {
            if !state.questions.is_empty() && state.idle == 0 && !shared.add_thread(&mut state) {
                break;
            }
            shared.work.notify_one();
            let waited = shared.done.wait_timeout(state, PATIENCE);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            open = open.saturating_sub(self.take(&mut state));
        }
    }

    /// Takes the answers that have come; gives how many.
    fn take(&mut self, state: &mut State) -> usize {
        let count = state.answers.len();
        for (path, answer) in state.answers.drain(..) {
            if let Some(known) = self.known.get_mut(&path) {
                known.asked = None;
                known.last = Some(answer);
            }
        }
        count
    }

    fn answer(&self, path: &Path) -> Answer {
        let Some(known) = self.known.get(path) else { return Answer::Waiting };
        match known.asked {
            Some(asked) if asked.elapsed() >= self.timeout => Answer::Stuck,
            _ => known.last.clone().unwrap_or(Answer::Waiting),
        }
    }
}

impl Drop for MountWatch {
    /// Threads that wait for questions end; one that hangs ends when its mount answers.
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.work.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add_thread(self: &Arc<Shared>, state: &mut State) -> bool {
        let shared = self.clone();
        let thread = std::thread::Builder::new().name("statfs".into()).stack_size(128 << 10);
        let started = thread.spawn(move || shared.work()).is_ok();
        state.threads += usize::from(started);
        started
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(path) = state.questions.pop_front() {
                drop(state);
                let answer = ask(&self.statfs, &path);
                state = self.lock();
                state.answers.push((path, answer));
                self.done.notify_all();
            } else if state.ended || state.idle > 0 {
                // One that waits is enough.
                state.threads -= 1;
                return;
            } else {
                state.idle += 1;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }
}

/// Asks in this thread.
pub(super) fn ask(statfs: &Statfs, path: &Path) -> Answer {
    match statfs(path) {
        Ok(space) => Answer::Space(space),
        Err(error) => Answer::Error(wording(&error)),
    }
}

/// The kernel's own statfs.
pub(super) fn real() -> Statfs {
    Arc::new(statfs::statfs)
}

/// The error as node_exporter's label `device_error` has it: Go's words.
fn wording(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    if text == "Stale file handle" {
        return "stale NFS file handle".into();
    }
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_lowercase().to_string()).unwrap_or_default();
    first + chars.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A statfs that hangs on paths below `/hang` until the gate is opened, and fails on `/bad`.
    fn gated() -> (Statfs, Arc<(Mutex<bool>, Condvar)>) {
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let inner = gate.clone();
        let statfs: Statfs = Arc::new(move |path: &Path| {
            if path.starts_with("/hang") {
                let mut open = inner.0.lock().expect("gate");
                while !*open {
                    open = inner.1.wait(open).expect("gate");
                }
            }
            match path.starts_with("/bad") {
                true => Err(std::io::Error::from_raw_os_error(116)),
                false => Ok(Space { size: 1.0, ..Space::default() }),
            }
        });
        (statfs, gate)
    }

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    fn threads(watch: &MountWatch) -> usize {
        watch.shared.lock().threads
    }

    #[test]
    fn dead_mounts_hold_nothing_up_and_come_back() {
        let (statfs, gate) = gated();
        let timeout = Duration::from_secs(3);
        let mut watch = MountWatch::new(timeout, statfs);
        let all = paths(&["/hang/a", "/good", "/hang/b", "/bad", "/good2"]);
        let space = Answer::Space(Space { size: 1.0, ..Space::default() });
        let stale = Answer::Error("stale NFS file handle".into());
        let start = Instant::now();
        let waiting = Answer::Waiting;
        let expected = [&waiting, &space, &waiting, &stale, &space];
        // One round, or a few where the machine does much else.
        while watch.ask(&all).iter().collect::<Vec<_>>() != expected {
            assert!(start.elapsed() < timeout, "{:?}", watch.ask(&all));
        }

        // Later rounds do not wait for those that hang, and do not ask them again.
        let round = |_| {
            let start = Instant::now();
            watch.ask(&all);
            start.elapsed()
        };
        let quickest = (0..20).map(round).min().expect("rounds");
        assert!(quickest < GRACE / 2, "{quickest:?}");
        // A busy machine may have asked for one more, which ends by itself.
        let deadline = Instant::now() + Duration::from_secs(20);
        while threads(&watch) != 3 {
            assert!(Instant::now() < deadline, "one for each mount that hangs and one that works");
        }
        std::thread::sleep(timeout.saturating_sub(start.elapsed()) + GRACE);
        let expected = [&Answer::Stuck, &space, &Answer::Stuck, &stale, &space];
        assert_eq!(watch.ask(&all).iter().collect::<Vec<_>>(), expected);

        *gate.0.lock().expect("gate") = true;
        gate.1.notify_all();
        let deadline = Instant::now() + Duration::from_secs(20);
        while watch.ask(&all)[0] != space || watch.ask(&all)[2] != space {
            assert!(Instant::now() < deadline, "the mounts came back");
        }
        while threads(&watch) > 1 {
            assert!(Instant::now() < deadline, "threads that are not needed end");
        }
        watch.ask(&[]);
        assert!(watch.known.is_empty(), "mounts that are gone are forgotten");
    }
}
