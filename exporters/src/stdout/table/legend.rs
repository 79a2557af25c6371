//! The meaning of the columns.

/// Returns the legend, of lines that fit into 80 cells.
pub(super) fn lines() -> impl Iterator<Item = &'static str> {
    LEGEND.lines()
}

const LEGEND: &str = "\
SOURCE, DESTINATION  client and server; (others) is what is over max_series
SERVICE  service that the client connected to, if it is not the destination
HERE     end on this host: client, server, or both
→ ←      payload from source to destination, and back: bytes, bytes per second
SEGS     TCP segments sent and received, with or without payload
RETR     segments that were sent again
LOST     segments that the kernel considered lost
LIMIT    what limited the end that sends, for most of the time: app (nothing to
         send), peer window, send buffer, network
RTT MIN  mean of the smoothed round trips, and the minimum
OPEN     connections at the end of the interval
OPENED   connections that were opened in the interval; CLOSED, FAILED likewise
-        zero or unknown. Red: failures. Yellow: at least 1 % of the segments
         with data sent again";
