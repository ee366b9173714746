//! Handing commands on: all command replicas take requests, and one of them (or some) writes them, because two that write
//! to the same partitions take each other's memory away.
//!
//! The invariant: nothing but speed depends on it. A request that was handed on may be written here as well at any time,
//! and vice versa, because the second copy of a request finds the answer that the first one stored with its events, under
//! the locks that both need. The one request without a key, the expiry of holds, finds nothing left to do. So whatever
//! becomes of the other process, or of what it was sent or said, the request is simply written here.
//!
//! What must not happen is that somebody is told that nothing was stored while the other copy may still be written. So
//! after a doubt only a stored answer counts; anything else is told as an unknown outcome, which a retry settles. A copy
//! is dropped when its caller's time is over, by the database's clock, or when its connection ends.
//!
//! `wire` is what processes say to each other; `peer` hands requests on to one other process, `listener` takes them from
//! others and `telling` is their way back; `view` says which process writes what, and `member` keeps it up to date.

pub(crate) mod listener;
pub(crate) mod member;
pub(crate) mod peer;
pub(crate) mod telling;
pub(crate) mod view;
pub(crate) mod wire;
