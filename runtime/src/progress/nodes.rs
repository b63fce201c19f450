//! The nodes that serve a call, as its progress shows them. It knows no cluster.

use std::fmt;

/// The nodes of a cluster that serve a call.
#[cfg_attr(not(feature = "progress"), allow(dead_code, reason = "nothing is shown"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServingNodes {
    pub(crate) nodes: usize,
    pub(crate) workers: usize,
}

/// Says which nodes serve now; none where there is no cluster.
pub(crate) type CountNodes = fn() -> Option<ServingNodes>;

impl fmt::Display for ServingNodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let Self { nodes, workers } = *self;
        write!(f, "{nodes} node{}, {workers} worker{}", plural(nodes), plural(workers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_counted_in_words() {
        let shown = |nodes, workers| ServingNodes { nodes, workers }.to_string();
        assert_eq!(
            [shown(3, 8), shown(1, 1), shown(0, 0)],
            ["3 nodes, 8 workers", "1 node, 1 worker", "0 nodes, 0 workers"]
        );
    }
}
