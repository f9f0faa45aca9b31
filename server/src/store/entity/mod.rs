//! Tables as they are, one a file. Nothing outside `store` sees a row.
//!
//! Unsigned numbers are kept in the next wider signed type, since PostgreSQL
//! has no unsigned ones; `store` turns them back.

pub mod api_token;
pub mod attempt;
pub mod event;
pub mod lease;
pub mod principal;
pub mod request;
pub mod seat;
pub mod setting;
pub mod stay;
pub mod worker;
pub mod worker_run;
pub mod workshop;
