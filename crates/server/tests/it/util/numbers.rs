//! Numbers for tests that do random things.

/// A generator that gives the same numbers in each run.
pub(crate) struct RandomNumbers(pub(crate) u64);

impl RandomNumbers {
    /// The next number, less than `bound`.
    pub(crate) fn next_below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    /// Returns true in one of `bound` cases.
    pub(crate) fn is_one_in(&mut self, bound: usize) -> bool {
        self.next_below(bound) == 0
    }

    /// The next pick from a list.
    pub(crate) fn pick_one<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.next_below(all.len())]
    }
}
