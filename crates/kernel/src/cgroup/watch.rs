//! Says when groups appear, disappear, and fall empty: inotify on their folders, and on v2's
//! cgroup.events, which the kernel marks as modified when `populated` changes.

use super::hierarchy::Hierarchies;
use crate::Error;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use std::mem::MaybeUninit;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// An inotify handle.
#[derive(Debug)]
pub struct Watch {
    fd: OwnedFd,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The number that [`Watch::add_group`] or [`Watch::add_events`] gave.
    pub watch: i32,
    /// What.
    pub change: Change,
}

/// What happened below or to a watched thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A group appeared below it, by name.
    Appeared(String),
    /// A group disappeared below it.
    Disappeared(String),
    /// cgroup.events changed.
    Modified,
    /// The watched thing is gone, and the watch with it.
    Gone,
    /// Events were lost: walk the tree.
    Lost,
}

/// Puts the calling thread before others on a busy machine, where this user may: between the end of a
/// container's last process and the removal of its group there are a few milliseconds.
pub fn hurry() {
    // Without the right to it, things go on as they are.
    let _ = rustix::process::setpriority_process(None, -20);
}

impl Watch {
    /// A handle that watches nothing yet; fails where this user has too many.
    pub fn new() -> Result<Watch, Error> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(|errno| Error::io("inotify".into(), errno))?;
        Ok(Watch { fd })
    }

    /// Watches the groups directly below a group in one hierarchy. `None` where the hierarchy does not
    /// have the group; an error also where this user's watches are used up.
    pub fn add_group(&self, h: &Hierarchies, at: usize, path: &str) -> Result<Option<i32>, Error> {
        let flags = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::ONLYDIR;
        self.add(h, at, path, "", flags)
    }

    /// Watches a group's cgroup.events. `None` where there is none.
    pub fn add_events(&self, h: &Hierarchies, at: usize, path: &str) -> Result<Option<i32>, Error> {
        self.add(h, at, path, "cgroup.events", WatchFlags::MODIFY)
    }

    fn add(
        &self,
        h: &Hierarchies,
        at: usize,
        path: &str,
        file: &str,
        flags: WatchFlags,
    ) -> Result<Option<i32>, Error> {
        let mut full = h.all()[at].dir.path().join(path.trim_start_matches('/'));
        if !file.is_empty() {
            full.push(file);
        }
        match inotify::add_watch(&self.fd, &full, flags) {
            Ok(watch) => Ok(Some(watch)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NODEV) => Ok(None),
            Err(errno) => Err(Error::io(full, errno)),
        }
    }

    /// Ends a watch; one that ended by itself is none.
    pub fn remove(&self, watch: i32) {
        // The one error is that the watch is gone already.
        let _ = inotify::remove_watch(&self.fd, watch);
    }

    /// Waits for events, for a byte on `wake`, or for the time to pass; true where `wake` said
    /// something or was closed.
    pub fn wait(&self, wake: &UnixStream, longest: Option<Duration>) -> Result<bool, Error> {
        let mut fds = [
            PollFd::new(&self.fd, PollFlags::IN),
            PollFd::from_borrowed_fd(wake.as_fd(), PollFlags::IN),
        ];
        let longest = longest.map(|d| Timespec {
            tv_sec: d.as_secs().min(1 << 30) as i64,
            tv_nsec: d.subsec_nanos().into(),
        });
        match rustix::event::poll(&mut fds, longest.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(!fds[1].revents().is_empty()),
            Err(errno) => Err(Error::io("inotify".into(), errno)),
        }
    }

    /// Takes the events that are there, up to about `most`, without waiting.
    pub fn read(&self, most: usize, events: &mut Vec<Event>) -> Result<(), Error> {
        events.clear();
        let mut space = [MaybeUninit::<u8>::uninit(); 16 << 10];
        let mut reader = inotify::Reader::new(&self.fd, &mut space);
        loop {
            if events.len() >= most && reader.is_buffer_empty() {
                return Ok(());
            }
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(Error::io("inotify".into(), errno)),
            };
            let (flags, watch) = (event.events(), event.wd());
            let name = || event.file_name().and_then(|n| n.to_str().ok()).map(String::from);
            let change = if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                Some(Change::Lost)
            } else if flags.contains(ReadFlags::IGNORED) {
                Some(Change::Gone)
            } else if flags.contains(ReadFlags::MODIFY) {
                Some(Change::Modified)
            } else if !flags.contains(ReadFlags::ISDIR) {
                None
            } else if flags.contains(ReadFlags::CREATE) {
                name().map(Change::Appeared)
            } else if flags.contains(ReadFlags::DELETE) {
                name().map(Change::Disappeared)
            } else {
                None
            };
            events.extend(change.map(|change| Event { watch, change }));
        }
    }
}
