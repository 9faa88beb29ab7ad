//! What is known of a node or a container: two points of it, and what it used between them.

/// Whose decisions are taken where a reading is not whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The healthy containers of a partly broken pod are served, and the last good value with its
    /// true time for two missed rounds.
    #[default]
    Lenient,
    /// metrics-server's decisions, bit for bit: one broken container hides its pod, one missed round
    /// hides the node and its pods.
    Strict,
}

/// What a node or a container used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Mean over the window, in billionths of a core.
    pub cpu_nanocores: u64,
    /// The working set at the end of the window.
    pub memory_bytes: u64,
    /// The end of the window, in nanoseconds since the Unix epoch.
    pub time_ns: i64,
    /// The length of the window, in nanoseconds.
    pub window_ns: i64,
}

/// A measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub start_ns: i64,
    pub time_ns: i64,
    pub cpu_ns: u64,
}

/// Stands for a point that is not there.
pub(crate) const NO_POINT: Point = Point { start_ns: i64::MIN, time_ns: i64::MIN, cpu_ns: 0 };

impl Point {
    pub fn is_there(self) -> bool {
        self.time_ns != i64::MIN
    }
}

/// The last two measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Points {
    pub last: Point,
    /// The one before, or [`NO_POINT`].
    pub previous: Point,
    /// The working set at the last.
    pub memory_bytes: u64,
}

/// What can be said of two points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Usage(Usage),
    /// There is one point only.
    TooNew,
    /// The counter or the start time went backwards: the points do not belong together.
    Broken,
}

impl Points {
    /// What was used between the points: the difference of the counters by that of the times.
    pub fn known(&self) -> Known {
        let (last, previous) = (self.last, self.previous);
        if !previous.is_there() {
            return Known::TooNew;
        }
        if last.start_ns < previous.start_ns || last.cpu_ns < previous.cpu_ns {
            return Known::Broken;
        }
        const SECOND: i64 = 1_000_000_000;
        let window_ns = last.time_ns.saturating_sub(previous.time_ns);
        // As Go makes seconds of a duration, so that the quotient is the same to the last bit.
        let seconds = (window_ns / SECOND) as f64 + (window_ns % SECOND) as f64 / 1e9;
        let cpu = (last.cpu_ns - previous.cpu_ns) as f64 / seconds;
        Known::Usage(Usage {
            cpu_nanocores: cpu as u64,
            memory_bytes: self.memory_bytes,
            time_ns: last.time_ns,
            window_ns,
        })
    }
}
