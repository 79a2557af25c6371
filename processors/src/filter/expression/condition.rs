//! [`Condition`]: one comparison.

use longwave_config::{Network, PortRange};
use longwave_pipeline::model::{ConnectionRecord, Endpoint, Workload, share_of_data};

use super::fields::{Measure, TextField};
use super::tokens::Operator;
use crate::filter::name_pattern::NamePattern;

/// One comparison. `!=` is the negation of `=`, so that `namespace!=kube-system` drops a record if either end is in that namespace.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub(super) side: Side,
    pub(super) test: Test,
}

/// Which ends a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// At least one of them.
    Either,
    /// The client.
    From,
    /// The server.
    To,
    /// The reporting socket.
    Local,
    Peer,
}

#[derive(Clone, Debug)]
pub(super) enum Test {
    Text(TextField, Vec<NamePattern>),
    Ports(Vec<PortRange>),
    Addresses(Vec<Network>),
    Compare(Measure, Operator, Bound),
}

/// The number with which a measure is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bound {
    /// Bytes, segments or nanoseconds.
    Value(u64),
    /// A fraction of the segments with data that were sent, between 0 and 1.
    Share(f64),
}

// === impl Condition ===

impl Condition {
    pub(super) fn matches(&self, record: &ConnectionRecord) -> bool {
        match &self.test {
            Test::Text(field, patterns) => {
                let any = |text: &str| patterns.iter().any(|pattern| pattern.matches(text));
                if field.is_of_an_end() {
                    self.side.workloads(record).into_iter().flatten().any(|end| any(field.of_workload(end)))
                } else {
                    field.of_connection(record, any)
                }
            }
            Test::Ports(ranges) => {
                self.any_end(record, |end| ranges.iter().any(|range| range.contains(end.port)))
            }
            Test::Addresses(networks) => {
                self.any_end(record, |end| networks.iter().any(|network| network.contains(&end.address)))
            }
            Test::Compare(measure, operator, bound) => {
                measure.of(record).is_some_and(|value| compare(value, *operator, *bound, record))
            }
        }
    }

    /// Returns the processor that sets the field.
    pub(super) fn setter(&self) -> Option<&'static str> {
        match &self.test {
            Test::Text(TextField::Service, _) => Some("service"),
            Test::Text(field, _) if field.is_of_an_end() => Some("workload"),
            _ => None,
        }
    }

    /// Returns whether the result can differ between the records of one connection.
    pub(super) fn can_change(&self) -> bool {
        // The role of a seeded connection becomes known later, and with it its client.
        let is_fixed = matches!(self.test, Test::Ports(_) | Test::Addresses(_));
        !is_fixed || matches!(self.side, Side::From | Side::To)
    }

    fn any_end(&self, record: &ConnectionRecord, test: impl Fn(&Endpoint) -> bool) -> bool {
        match self.side {
            Side::Either => test(&record.local) || test(&record.peer),
            Side::From => test(&record.source()),
            Side::To => test(&record.destination()),
            Side::Local => test(&record.local),
            Side::Peer => test(&record.peer),
        }
    }
}

// === impl Side ===

impl Side {
    /// Returns the workloads of the ends; the inner `None` is an unknown workload.
    fn workloads(self, record: &ConnectionRecord) -> [Option<Option<&Workload>>; 2] {
        let (local, peer) = (record.names.local.as_deref(), record.names.peer.as_deref());
        match self {
            Self::Either => [Some(local), Some(peer)],
            Self::From => [Some(record.source_workload().map(|handle| &**handle)), None],
            Self::To => [Some(record.destination_workload().map(|handle| &**handle)), None],
            Self::Local => [Some(local), None],
            Self::Peer => [Some(peer), None],
        }
    }
}

/// Compares a value of the record. False if a share is unknown, because no data was sent.
fn compare(value: u64, operator: Operator, bound: Bound, record: &ConnectionRecord) -> bool {
    let order = match bound {
        Bound::Value(bound) => Some(value.cmp(&bound)),
        Bound::Share(bound) => {
            share_of_data(value, record.totals.data_segments).map(|share| share.total_cmp(&bound))
        }
    };
    order.is_some_and(|order| match operator {
        Operator::Equal => order.is_eq(),
        Operator::NotEqual => order.is_ne(),
        Operator::More => order.is_gt(),
        Operator::AtLeast => order.is_ge(),
        Operator::Less => order.is_lt(),
        Operator::AtMost => order.is_le(),
    })
}
