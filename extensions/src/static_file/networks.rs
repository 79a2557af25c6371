//! Finds the most specific rule for an address and a port by one binary search.
//!
//! Two networks are nested or disjoint. So they cut the address space into intervals, each of which has one innermost network. Each
//! network refers to the one around it.

use std::net::IpAddr;

use longwave_config::{Network, PortRange};

/// Index of no network.
const NONE: u32 = u32::MAX;

/// Values by network and ports.
#[derive(Debug)]
pub(super) struct Networks<T> {
    v4: AddressFamily<T>,
    v6: AddressFamily<T>,
}

/// One value from which the table is built.
pub(super) struct NetworkEntry<T> {
    pub network: Network,
    /// `None`: any port.
    pub ports: Option<PortRange>,
    pub value: T,
    /// Index of the rule; the lower one wins among equals.
    pub rule: usize,
}

/// A rule that an earlier rule makes useless for one network and port range or cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ShadowedRule {
    pub rule: usize,
    pub by: usize,
}

#[derive(Debug)]
struct AddressFamily<T> {
    /// First addresses of the intervals, ascending.
    starts: Vec<u128>,
    /// Index of each interval's innermost network.
    inner: Vec<u32>,
    nodes: Vec<NetworkNode<T>>,
}

#[derive(Debug)]
struct NetworkNode<T> {
    /// Index of the network around this one, or [`NONE`].
    parent: u32,
    /// Rules for one port, ascending by port.
    single: Vec<(u16, T)>,
    /// Rules for a range of ports, the smallest range first.
    ranges: Vec<(PortRange, T)>,
    any: Option<T>,
}

/// First and last address of a network, as numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Span {
    first: u128,
    last: u128,
}

// === impl Networks ===

impl<T> Networks<T> {
    /// Builds the table. Also returns the rules that can never match.
    pub fn new(entries: Vec<NetworkEntry<T>>) -> (Self, Vec<ShadowedRule>) {
        let (v4, v6) = entries.into_iter().partition(|entry| entry.network.prefix().addr().is_ipv4());
        let mut shadowed = Vec::new();
        (
            Self { v4: AddressFamily::new(v4, &mut shadowed), v6: AddressFamily::new(v6, &mut shadowed) },
            shadowed,
        )
    }

    /// Returns the value for an end at `address` and `port`. Port 0 stands for no port.
    pub fn find(&self, address: IpAddr, port: u16) -> Option<&T> {
        match address.to_canonical() {
            IpAddr::V4(address) => self.v4.find(u32::from(address).into(), port),
            IpAddr::V6(address) => self.v6.find(address.into(), port),
        }
    }
}

// === impl AddressFamily ===

impl<T> AddressFamily<T> {
    fn new(mut entries: Vec<NetworkEntry<T>>, shadowed: &mut Vec<ShadowedRule>) -> Self {
        entries.sort_by_key(|entry| {
            let prefix = entry.network.prefix();
            (
                Span::of(&entry.network).first,
                prefix.prefix_len(),
                width(entry.ports),
                entry.ports.map(PortRange::first),
                entry.rule,
            )
        });
        let mut family = Self { starts: Vec::new(), inner: Vec::new(), nodes: Vec::new() };
        // Networks that contain the current one, outermost first.
        let mut around: Vec<(Span, u32)> = Vec::new();
        let mut previous: Option<(Option<PortRange>, usize)> = None;
        for entry in entries {
            let span = Span::of(&entry.network);
            if around.last().is_none_or(|(current, _)| *current != span) {
                family.leave(&mut around, Some(span.first));
                let index = u32::try_from(family.nodes.len()).unwrap_or(NONE);
                let parent = around.last().map_or(NONE, |(_, parent)| *parent);
                family.nodes.push(NetworkNode { parent, single: Vec::new(), ranges: Vec::new(), any: None });
                family.begin(span.first, index);
                around.push((span, index));
                previous = None;
            }
            if let Some((ports, by)) = previous
                && ports == entry.ports
            {
                if by != entry.rule {
                    shadowed.push(ShadowedRule { rule: entry.rule, by });
                }
                continue;
            }
            previous = Some((entry.ports, entry.rule));
            let Some(node) = family.nodes.last_mut() else { continue };
            match entry.ports {
                None => node.any = Some(entry.value),
                Some(ports) if ports.first() == ports.last() => {
                    node.single.push((ports.first(), entry.value))
                }
                Some(ports) => node.ranges.push((ports, entry.value)),
            }
        }
        family.leave(&mut around, None);
        family
    }

    /// Closes the networks that end before `next`.
    fn leave(&mut self, around: &mut Vec<(Span, u32)>, next: Option<u128>) {
        while let Some((span, _)) = around.pop_if(|(span, _)| next.is_none_or(|next| span.last < next)) {
            let outer = around.last().map_or(NONE, |(_, outer)| *outer);
            if let Some(after) = span.last.checked_add(1) {
                self.begin(after, outer);
            }
        }
    }

    /// Starts an interval at `start` whose innermost network is `inner`.
    fn begin(&mut self, start: u128, inner: u32) {
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.inner.pop();
        }
        self.starts.push(start);
        self.inner.push(inner);
    }

    fn find(&self, address: u128, port: u16) -> Option<&T> {
        let interval = self.starts.partition_point(|start| *start <= address).checked_sub(1)?;
        let mut node = self.nodes.get(*self.inner.get(interval)? as usize);
        while let Some(inner) = node {
            if let Some(value) = inner.find(port) {
                return Some(value);
            }
            node = self.nodes.get(inner.parent as usize);
        }
        None
    }
}

// === impl NetworkNode ===

impl<T> NetworkNode<T> {
    fn find(&self, port: u16) -> Option<&T> {
        if let Ok(index) = self.single.binary_search_by_key(&port, |(single, _)| *single) {
            return self.single.get(index).map(|(_, value)| value);
        }
        let range = self.ranges.iter().find(|(range, _)| range.contains(port));
        range.map(|(_, value)| value).or(self.any.as_ref())
    }
}

// === impl Span ===

impl Span {
    fn of(network: &Network) -> Self {
        let prefix = network.prefix();
        let number = |address: IpAddr| match address {
            IpAddr::V4(address) => u128::from(u32::from(address)),
            IpAddr::V6(address) => address.into(),
        };
        Self { first: number(prefix.network()), last: number(prefix.broadcast()) }
    }
}

/// Returns the number of ports minus one, or the largest number for any port.
fn width(ports: Option<PortRange>) -> u32 {
    ports.map_or(u32::MAX, |ports| u32::from(ports.last() - ports.first()))
}
