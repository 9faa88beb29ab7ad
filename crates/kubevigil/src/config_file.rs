//! The configuration file while the program runs: when it is read again, what of it is in effect, and what
//! whoever asked for that is told. What its sections mean is for those who take them.

use crate::clock;
use api::backend::Configuration;
use api::lifecycle::{Lifecycle, Reloading};
use model::{Family, Kind, Sink};
use scrape::Config;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc};

/// How often files are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);
/// So many who ask for it wait at a time.
const WAITING: usize = 8;

/// The file, if there is one.
pub struct ConfigFile {
    path: Option<PathBuf>,
    state: Mutex<State>,
    ask: mpsc::Sender<Reloading>,
    quit: Arc<Notify>,
}

struct State {
    /// What the file held when it was looked at last.
    text: Option<String>,
    told: Configuration,
}

impl ConfigFile {
    /// Reads the file; a mistake in it is a reason not to start. Within a runtime.
    pub fn open(path: Option<PathBuf>) -> anyhow::Result<(Arc<ConfigFile>, Config, Reload)> {
        let (config, text) = match &path {
            None => (Config::default(), None),
            Some(path) => (Config::read(path)?, std::fs::read_to_string(path).ok()),
        };
        let read_ms = clock::now().wall_ms;
        let told = Configuration { yaml: config.yaml.clone(), is_current: true, read_ms };
        let (ask, asked) = mpsc::channel(WAITING);
        let (state, quit) = (Mutex::new(State { text, told }), Arc::default());
        let hangup = signal(SignalKind::hangup());
        let hangup = hangup.inspect_err(|e| tracing::warn!("SIGHUP: {e}")).ok();
        let reload = Reload { hangup, asked, waiting: None };
        Ok((Arc::new(ConfigFile { path, state, ask, quit }), config, reload))
    }

    /// How the file is called; `None` where there is none.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// For the API, where asking for it is allowed.
    pub fn lifecycle(&self, enabled: bool) -> Option<Lifecycle> {
        enabled.then(|| Lifecycle { reload: self.ask.clone(), quit: self.quit.clone() })
    }

    /// Returns when the program was told over HTTP to end.
    pub async fn told_to_quit(&self) {
        self.quit.notified().await;
    }

    /// The file's new content; `None` where nothing changed, unless it is read `anyway`. All its mistakes where
    /// it has some: what was read before stays in effect.
    pub fn again(&self, anyway: bool) -> Option<Result<Config, String>> {
        let path = self.path.as_deref()?;
        let text = std::fs::read_to_string(path);
        let mut state = self.lock();
        if text.as_ref().ok() == state.text.as_ref() && !anyway {
            return None;
        }
        let read = match &text {
            Ok(text) => Config::parse(text, path).map_err(|e| e.to_string()),
            Err(e) => Err(format!("{}: cannot read it: {e}", path.display())),
        };
        state.text = text.ok();
        state.told.is_current = read.is_ok();
        if let Ok(config) = &read {
            state.told.yaml.clone_from(&config.yaml);
            state.told.read_ms = clock::now().wall_ms;
        }
        Some(read)
    }

    /// What is in effect.
    pub fn configuration(&self) -> Configuration {
        self.lock().told.clone()
    }

    /// Our own metrics.
    pub fn write(&self, sink: &mut dyn Sink) {
        let Configuration { is_current, read_ms, .. } = self.configuration();
        let mut gauge = |name, help, unit, value| {
            sink.family(&Family { name, help, kind: Kind::Gauge, unit });
            sink.sample(name, &[], value, None);
        };
        gauge(
            "kubevigil_config_last_reload_successful",
            "Whether the configuration file could be read when it was read last.",
            "",
            f64::from(u8::from(is_current)),
        );
        gauge(
            "kubevigil_config_last_reload_success_timestamp_seconds",
            "When the configuration that is in effect was read.",
            "seconds",
            read_ms as f64 / 1000.0,
        );
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When files are to be looked at: now and then, on SIGHUP, and when somebody asks over HTTP.
pub struct Reload {
    /// While it is there, SIGHUP does not end the program.
    hangup: Option<Signal>,
    asked: mpsc::Receiver<Reloading>,
    waiting: Option<Reloading>,
}

impl Reload {
    /// Returns when it is time: whether files are to be read even where they did not change.
    pub async fn wait(&mut self) -> bool {
        let hangup = async {
            match &mut self.hangup {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => false,
            _ = hangup => true,
            Some(waiting) = self.asked.recv() => {
                self.waiting = Some(waiting);
                true
            }
        }
    }

    /// Files were looked at: tells whoever asked for it what came of it.
    pub fn done(&mut self, outcome: Result<(), String>) {
        if let Some(waiting) = self.waiting.take() {
            let _ = waiting.send(outcome); // who asked may have gone
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_with_mistakes_leaves_in_effect_what_was_read_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.yml");
        let job = |name: &str| format!("scrape_configs: [{{job_name: {name}}}]\n");
        std::fs::write(&path, job("a")).unwrap();
        let (file, config, _reload) = ConfigFile::open(Some(path.clone())).unwrap();
        let before = file.configuration();
        assert!(config.jobs.len() == 1 && before.is_current && before.yaml.contains("job_name: a"));
        assert!(file.again(false).is_none(), "nothing changed");
        assert!(file.again(true).is_some_and(|read| read.is_ok()));

        std::fs::write(&path, "scrape_configs: 1\n").unwrap();
        let why = file.again(false).unwrap().unwrap_err();
        assert!(why.contains("p.yml:1:17: "), "{why}");
        let after = file.configuration();
        assert!(!after.is_current && after.yaml == before.yaml);
        assert!(file.again(false).is_none(), "told once");
        assert!(file.again(true).unwrap().is_err(), "whoever asks is told again");
        std::fs::remove_file(&path).unwrap();
        assert!(file.again(false).unwrap().unwrap_err().contains("p.yml: cannot read it: "));

        std::fs::write(&path, job("b")).unwrap();
        assert!(file.again(false).unwrap().is_ok());
        let after = file.configuration();
        assert!(after.is_current && after.yaml.contains("job_name: b"), "{after:?}");
    }

    #[tokio::test]
    async fn who_asks_is_answered() {
        let (file, _, mut reload) = ConfigFile::open(None).unwrap();
        assert!(file.lifecycle(false).is_none());
        let ask = file.lifecycle(true).unwrap();
        let (told, outcome) = tokio::sync::oneshot::channel();
        ask.reload.send(told).await.unwrap();
        assert!(reload.wait().await, "whatever the files hold");
        assert!(file.again(true).is_none(), "there is none");
        reload.done(Err("why".into()));
        assert_eq!(outcome.await.unwrap(), Err("why".into()));
        ask.quit.notify_one();
        file.told_to_quit().await;
    }
}
