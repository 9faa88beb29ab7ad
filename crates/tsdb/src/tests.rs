//! The store against a naive one, under crashes, faults and damage.

mod check;
mod churn;
mod clock;
mod companions;
mod deletes;
mod exemplars;
mod faults;
mod golden;
mod kill;
mod lines;
mod naive;
mod receive;
mod reduced;
mod rounds;
mod seal;
mod snapshot;
mod stopped;
mod tail;
mod touched;

use crate::{Db, Options};
use disk::LogOptions;
use disk::faulty::Faulty;
use std::sync::Arc;

/// Opens a store over faulty files, without threads of its own.
fn open(files: &Faulty, options: &Options) -> Db {
    try_open(files, options).expect("opens")
}

fn try_open(files: &Faulty, options: &Options) -> Result<Db, crate::Error> {
    let options = Options { background: false, ..options.clone() };
    Db::open_files(Arc::new(files.clone()), options, LogOptions::default())
}
