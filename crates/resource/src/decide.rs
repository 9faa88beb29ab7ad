//! Which two points are kept of a node or a container: metrics-server's rules
//! (`pkg/storage/{node,pod}.go` of v0.9.0 describe them in code).
//!
//! One thing is not followed: where a container was read twice with the same time while another of its
//! pod has two points, metrics-server counts from the year 1; here the container has one point.

use crate::parse::Sample;
use crate::usage::{NO_POINT, Point, Points};

/// A younger container gets no value before it was read twice: its first seconds say little.
const FRESH_MIN_NS: i64 = 10_000_000_000;

/// The points of a node after it was read.
pub(crate) fn node(old: Option<&Points>, sample: &Sample) -> Points {
    let last = point(sample);
    let previous = old.map_or(NO_POINT, |old| before(old, last));
    Points { last, previous, memory_bytes: sample.memory_bytes }
}

/// The points of a container after it was read.
///
/// A container that started within the resolution, but not within the last ten seconds, has used
/// nothing at its start: one reading is enough. One that started after the last reading was restarted:
/// the older points are another process's.
pub(crate) fn container(old: Option<&Points>, sample: &Sample, resolution_ns: i64) -> Points {
    let last = point(sample);
    let age_ns = last.time_ns.saturating_sub(last.start_ns);
    let fresh = last.start_ns < last.time_ns && (FRESH_MIN_NS..resolution_ns).contains(&age_ns);
    let previous = match old {
        _ if fresh => Point { time_ns: last.start_ns, cpu_ns: 0, ..last },
        Some(old) if last.start_ns < old.last.time_ns => before(old, last),
        _ => NO_POINT,
    };
    Points { last, previous, memory_bytes: sample.memory_bytes }
}

/// The newest of the old points that is older than `last`.
fn before(old: &Points, last: Point) -> Point {
    if last.time_ns > old.last.time_ns {
        old.last
    } else if old.previous.is_there() && old.previous.time_ns < last.time_ns {
        old.previous
    } else {
        NO_POINT
    }
}

fn point(sample: &Sample) -> Point {
    Point { start_ns: sample.start_ns, time_ns: sample.time_ns, cpu_ns: sample.cpu_ns }
}
