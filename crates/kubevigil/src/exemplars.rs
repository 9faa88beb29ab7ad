//! How many exemplars the store keeps: what the command line says, unless a configuration file says it.

use scrape::Config;
use std::sync::{Mutex, OnceLock, PoisonError};
use tsdb::Db;

/// How many there may be.
pub struct Capacity {
    given: usize,
    /// What the file says.
    file: Mutex<Option<usize>>,
    store: OnceLock<Db>,
}

impl Capacity {
    /// As the command line has it.
    pub fn new(given: usize) -> Capacity {
        Capacity { given, file: Mutex::default(), store: OnceLock::new() }
    }

    /// In effect.
    pub fn get(&self) -> usize {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(self.given)
    }

    /// Takes over what a file says.
    pub fn take(&self, config: &Config) {
        let before = self.get();
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = config.exemplars;
        if let Some(store) = self.store.get().filter(|_| self.get() != before) {
            store.set_exemplar_capacity(self.get());
        }
    }

    /// The store is open, with so many as [`Capacity::get`] gave.
    pub fn opened(&self, db: Db) {
        let _ = self.store.set(db); // it is opened once
    }
}
