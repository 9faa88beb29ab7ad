//! Fast tests over a transport that is a fake and says so: it shows what we do with answers, not
//! what an API server answers. The real one is asked in `tests/whole`.

pub(crate) mod fake;
mod race;
mod reviews;
mod serving;
mod users;
mod watches;
