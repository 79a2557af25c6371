//! Finds the most specific rule for a cgroup's path.

use hashbrown::HashMap;
use longwave_pipeline::component::cgroup::Pattern;

use super::networks::ShadowedRule;

/// Values by cgroup pattern.
#[derive(Debug)]
pub(super) struct Cgroups<T> {
    /// Patterns without wildcards.
    literal: HashMap<Box<str>, T, foldhash::fast::RandomState>,
    /// The others; those with more literal characters first.
    wild: Vec<(Pattern, T)>,
}

// === impl Cgroups ===

impl<T> Cgroups<T> {
    /// Builds the table from (pattern, value, rule) in the order of the rules. Also returns the rules that can never match.
    pub fn new(entries: Vec<(Pattern, T, usize)>) -> (Self, Vec<ShadowedRule>) {
        let mut literal: HashMap<Box<str>, (T, usize), foldhash::fast::RandomState> = HashMap::default();
        let mut wild: Vec<(Pattern, T, usize)> = Vec::new();
        let mut shadowed = Vec::new();
        for (pattern, value, rule) in entries {
            let earlier = match pattern.literal() {
                Some(path) => literal.get(path).map(|(_, rule)| *rule),
                None => wild.iter().find(|(other, ..)| *other == pattern).map(|(.., rule)| *rule),
            };
            match (earlier, pattern.literal()) {
                (Some(by), _) if by != rule => shadowed.push(ShadowedRule { rule, by }),
                (Some(_), _) => {}
                (None, Some(path)) => drop(literal.insert(path.into(), (value, rule))),
                (None, None) => wild.push((pattern, value, rule)),
            }
        }
        // The sort is stable: equal patterns stay in the order of the file.
        wild.sort_by_key(|(pattern, ..)| std::cmp::Reverse(pattern.weight()));
        let literal = literal.into_iter().map(|(path, (value, _))| (path, value)).collect();
        (
            Self { literal, wild: wild.into_iter().map(|(pattern, value, _)| (pattern, value)).collect() },
            shadowed,
        )
    }

    /// Returns the value for the cgroup at `path`, which begins with `/`.
    pub fn find(&self, path: &str) -> Option<&T> {
        let literal = if self.literal.is_empty() { None } else { self.find_literal(path) };
        let weight = literal.map_or(0, |(_, weight)| weight);
        let heavier =
            self.wild.iter().take_while(|(pattern, _)| literal.is_none() || pattern.weight() > weight);
        let wild = heavier.filter(|(pattern, _)| pattern.matches(path)).map(|(_, value)| value).next();
        wild.or(literal.map(|(value, _)| value))
    }

    /// Returns the value of the path itself or of its nearest ancestor, and the length of that path.
    fn find_literal(&self, path: &str) -> Option<(&T, usize)> {
        let mut path = path.trim_end_matches('/');
        loop {
            if let Some(value) = self.literal.get(path) {
                return Some((value, path.len()));
            }
            path = path.rsplit_once('/')?.0;
        }
    }
}
