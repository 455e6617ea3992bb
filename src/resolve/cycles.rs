//! An order in which everything comes after what it refers to, and the cycles that have none.

use std::collections::BTreeSet;

/// What [`order`] finds.
pub(super) struct Order {
    /// Every node that refers to no cycle, after all it refers to.
    pub(super) order: Vec<usize>,
    /// Cycles, each from its smallest node on, in the direction of reference.
    pub(super) cycles: Vec<Vec<usize>>,
}

/// Orders nodes by `refers`, the nodes each refers to; indices out of range are ignored.
///
/// A node that refers to a cycle without being of it stands in `order`, after the cycles were set aside.
/// Iterative, and linear but for the sets: a chain of any length is fine.
pub(super) fn order(refers: &[Vec<usize>]) -> Order {
    let mut waits: Vec<BTreeSet<usize>> =
        refers.iter().map(|r| r.iter().copied().filter(|&n| n < refers.len()).collect()).collect();
    let mut referred: Vec<Vec<usize>> = vec![Vec::new(); refers.len()];
    for (node, targets) in waits.iter().enumerate() {
        for &target in targets {
            if let Some(list) = referred.get_mut(target) {
                list.push(node);
            }
        }
    }
    let mut left: BTreeSet<usize> = (0..refers.len()).collect();
    let mut ready: BTreeSet<usize> = left.iter().copied().filter(|&n| is_free(&waits, n)).collect();
    let (mut order, mut cycles) = (Vec::new(), Vec::new());
    loop {
        while let Some(node) = ready.pop_first() {
            if left.remove(&node) {
                order.push(node);
                ready.extend(release(&mut waits, &referred, node));
            }
        }
        let Some(&start) = left.first() else { return Order { order, cycles } };
        let cycle = cycle_from(&waits, start);
        for &node in &cycle {
            left.remove(&node);
            ready.extend(release(&mut waits, &referred, node));
        }
        ready.retain(|n| left.contains(n));
        cycles.push(cycle);
    }
}

fn is_free(waits: &[BTreeSet<usize>], node: usize) -> bool {
    waits.get(node).is_none_or(BTreeSet::is_empty)
}

/// Nobody waits for `node` any longer; gives those that now wait for nothing.
fn release(waits: &mut [BTreeSet<usize>], referred: &[Vec<usize>], node: usize) -> Vec<usize> {
    let mut free = Vec::new();
    for &other in referred.get(node).into_iter().flatten() {
        if waits.get_mut(other).is_some_and(|set| set.remove(&node) && set.is_empty()) {
            free.push(other);
        }
    }
    free
}

/// The cycle reached by always taking the smallest node waited for.
fn cycle_from(waits: &[BTreeSet<usize>], start: usize) -> Vec<usize> {
    let mut place = vec![None; waits.len()];
    let (mut path, mut node) = (Vec::new(), start);
    loop {
        match place.get(node) {
            Some(Some(at)) => {
                let mut cycle: Vec<usize> = path.iter().copied().skip(*at).collect();
                let least = cycle.iter().enumerate().min_by_key(|(_, n)| **n).map_or(0, |(i, _)| i);
                cycle.rotate_left(least);
                return cycle;
            }
            Some(None) => {}
            None => return path,
        }
        if let Some(slot) = place.get_mut(node) {
            *slot = Some(path.len());
        }
        path.push(node);
        match waits.get(node).and_then(BTreeSet::first) {
            Some(&next) => node = next,
            None => return path,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn a_cycle_is_set_aside_and_what_refers_to_it_is_ordered() {
        let found = order(&[vec![1], vec![2], vec![1], vec![]]);
        assert_eq!(found.cycles, [vec![1, 2]]);
        assert_eq!(found.order, [3, 0]);
        assert_eq!(order(&[vec![0]]).cycles, [vec![0]]);
    }

    #[test]
    fn a_long_chain_is_ordered_without_recursion() {
        let chain: Vec<Vec<usize>> = (0..50_000).map(|n| vec![n + 1]).collect();
        assert_eq!(order(&chain).order.first(), Some(&49_999));
    }
}
