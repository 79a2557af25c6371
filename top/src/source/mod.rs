//! Where records come from: a running Longwave ([`live`]) or a record file ([`recording`]).

pub mod live;
pub mod notices;
pub mod recording;

#[cfg(test)]
mod tests;
