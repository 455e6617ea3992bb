//! Which of many cells may meet one, whatever tells them apart: ends, ports, or what they were before a translation.
//!
//! *Input*: cells, one after another, each with a number. *Output*: the numbers of those that may meet a cell, all that do among
//! them. *Design decisions*: boxes of boxes, halved at the side by which their cells differ most. Each tree is made at once;
//! those of a few cells are joined to one of more, so that a cell is put into a tree a few times only.

use crate::ir::{Addrs, Cell, Numbers};
use crate::net::Family;

/// The sides of a box of cells: the family, ends, header and what was before. Each as a part of all values of its field, so that
/// one can be held against another.
#[derive(Clone, Copy, Debug)]
struct Sides([(u128, u128); SIDES]);

const SIDES: usize = 8;

/// Cells below which a box is not halved.
const IN_LEAF: usize = 8;

/// Trees of about one size that are made one.
const JOINED: usize = 4;

/// Cells by where they lie.
#[derive(Default)]
pub(super) struct Nearby {
    /// The bigger ones first.
    trees: Vec<Tree>,
    /// In no tree yet.
    recent: Vec<(usize, Sides)>,
}

/// Boxes, each before the two that it is made of.
struct Tree {
    cells: Vec<(usize, Sides)>,
    boxes: Vec<Boxed>,
}

/// A box, and which cells are in it.
struct Boxed {
    sides: Sides,
    from: usize,
    to: usize,
    /// Where what is not in it goes on: behind all that it is made of.
    next: usize,
}

impl Nearby {
    /// One more.
    pub(super) fn insert(&mut self, at: usize, cell: &Cell) {
        self.recent.push((at, Sides::of(cell)));
    }

    /// The numbers of those that may meet a cell, each once.
    pub(super) fn find(&mut self, cell: &Cell, out: &mut Vec<usize>) {
        let asked = Sides::of(cell);
        if self.recent.len() > IN_LEAF {
            self.grow();
        }
        out.extend(self.recent.iter().filter(|(_, sides)| sides.meet(&asked)).map(|(at, _)| *at));
        self.trees.iter().for_each(|tree| tree.find(&asked, out));
    }

    /// The recent ones become a tree, with the trees that are no bigger.
    fn grow(&mut self) {
        let mut cells = std::mem::take(&mut self.recent);
        loop {
            let small = |tree: &&Tree| tree.cells.len() <= cells.len();
            let alike = self.trees.iter().rev().take_while(small).count();
            if alike.saturating_add(1) < JOINED {
                break;
            }
            let kept = self.trees.len().saturating_sub(alike);
            cells.extend(self.trees.drain(kept..).flat_map(|tree| tree.cells));
        }
        self.trees.push(Tree::of(cells));
        // What was many at once is before what is few.
        self.trees.sort_by_key(|tree| std::cmp::Reverse(tree.cells.len()));
    }
}

impl Tree {
    fn of(mut cells: Vec<(usize, Sides)>) -> Self {
        let mut boxes = Vec::new();
        halve(&mut cells, 0, &mut boxes);
        Self { cells, boxes }
    }

    fn find(&self, asked: &Sides, out: &mut Vec<usize>) {
        let mut at = 0usize;
        while let Some(one) = self.boxes.get(at) {
            if !one.sides.meet(asked) {
                at = one.next;
                continue;
            }
            at = at.saturating_add(1);
            if one.next == at {
                let cells = self.cells.get(one.from..one.to).unwrap_or_default();
                out.extend(cells.iter().filter(|(_, sides)| sides.meet(asked)).map(|(number, _)| *number));
            }
        }
    }
}

/// The boxes of these cells, which are those from a number on.
fn halve(cells: &mut [(usize, Sides)], from: usize, out: &mut Vec<Boxed>) {
    let Some(sides) = cells.iter().map(|(_, sides)| *sides).reduce(Sides::hull) else { return };
    let (at, count) = (out.len(), cells.len());
    out.push(Boxed { sides, from, to: from.saturating_add(count), next: 0 });
    if let Some(side) = apart(cells).filter(|_| count > IN_LEAF) {
        let middle = count / 2;
        cells.select_nth_unstable_by_key(middle, |(number, sides)| (sides.middle(side), *number));
        let (low, high) = cells.split_at_mut(middle);
        halve(low, from, out);
        halve(high, from.saturating_add(middle), out);
    }
    let next = out.len();
    if let Some(one) = out.get_mut(at) {
        one.next = next;
    }
}

/// The side by which the middles of cells differ most; none where they are all the same.
fn apart(cells: &[(usize, Sides)]) -> Option<usize> {
    let spread = |side: usize| {
        let middles = || cells.iter().map(|(_, sides)| sides.middle(side));
        Some((middles().max()?.saturating_sub(middles().min()?), side))
    };
    (0..SIDES).filter_map(spread).max().filter(|(spread, _)| *spread > 0).map(|(_, side)| side)
}

impl Sides {
    fn of(cell: &Cell) -> Self {
        let [src, dst] = cell.ends;
        let [proto, to, from] = cell.header;
        let (family, spare) = match cell.family {
            Family::V4 => ((0, 0), 96),
            Family::V6 => ((u128::MAX, u128::MAX), 0),
        };
        let addrs = |(first, last): Addrs| (first << spare, last << spare);
        let numbers = |of: Numbers| (u128::from(of.0) << 112, u128::from(of.1) << 112);
        let (before, port_before) = (addrs(cell.before), numbers(cell.port_before));
        Self([
            family,
            addrs(src),
            addrs(dst),
            numbers(proto),
            numbers(to),
            numbers(from),
            before,
            port_before,
        ])
    }

    /// The least box that holds both.
    fn hull(self, other: Self) -> Self {
        let mut all = self;
        for (side, (first, last)) in all.0.iter_mut().zip(other.0) {
            *side = (side.0.min(first), side.1.max(last));
        }
        all
    }

    fn meet(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a.0 <= b.1 && b.0 <= a.1)
    }

    fn middle(&self, side: usize) -> u128 {
        self.0.get(side).map_or(0, |(first, last)| first.midpoint(*last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::wide;
    use crate::net::random::Random;

    fn range(random: &mut Random, below: usize) -> Numbers {
        let number = |random: &mut Random| u16::try_from(random.below(below)).unwrap();
        let (a, b) = (number(random), number(random));
        if random.below(2) == 0 { (a, a) } else { (a.min(b), a.max(b)) }
    }

    #[test]
    fn all_that_meet_a_cell_are_found_and_nothing_far_from_it() {
        let mut random = Random::new(7);
        for turn in 0..40usize {
            let (mut near, mut cells) = (Nearby::default(), Vec::new());
            for at in 0..turn * 20 {
                let sides = [4, 4, 3, 200, 200, 2, 2].map(|below| range(&mut random, below));
                let [src, dst, proto, to, from, before, port_before] = sides;
                let family = if random.below(3) == 0 { Family::V6 } else { Family::V4 };
                let cell = Cell {
                    family,
                    translated: random.below(2) == 0,
                    ends: [wide(src), wide(dst)],
                    header: [proto, to, from],
                    before: wide(before),
                    port_before,
                };
                let mut found = Vec::new();
                near.find(&cell, &mut found);
                found.sort_unstable();
                let meeting = |(at, other): (usize, &Cell)| cell.intersection(other).map(|_| at);
                let all: Vec<usize> = cells.iter().enumerate().filter_map(meeting).collect();
                assert_eq!(found, all);
                near.insert(at, &cell);
                cells.push(cell);
            }
        }
    }
}
