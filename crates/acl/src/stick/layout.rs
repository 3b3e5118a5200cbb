//! Where each value of an entry lies in its record, and how it is read and changed there.
//!
//! Called by the table with the words of one record, under the lock of its shard. Never knows keys, expiry or who tracks.
//! Every value is 32-bit words in the order of `store`, so that a record is one flat piece of memory.

use super::data::{DATA, Data, DataSel, Form, Kind};
use super::rate::Rate;

/// The places of a table's values.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    fields: [Field; DATA.len()],
    /// Words of one record's values.
    pub words: usize,
}

/// One data type in a record; absent when it has no elements.
#[derive(Clone, Copy, Debug, Default)]
struct Field {
    at: u32,
    elements: u16,
    period: u32,
}

/// One value in a record.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: usize,
    form: Form,
    period: u32,
}

impl Layout {
    pub fn new(store: &[Data]) -> Layout {
        let mut fields = [Field::default(); DATA.len()];
        let mut words = 0;
        for data in store {
            let field = &mut fields[data.kind as usize];
            // A definition with the same type twice was refused by its check; the first counts.
            if field.elements == 0 {
                *field = Field { at: words as u32, elements: data.elements, period: data.period.max(1) };
                words += data.words();
            }
        }
        Layout { fields, words }
    }

    /// Whether `sel` is stored, by itself or as an element of the array that stands for it.
    pub fn has(&self, sel: DataSel) -> bool {
        sel.index < self.fields[sel.kind as usize].elements || self.place(sel).is_some()
    }

    /// Whether adding to `sel` changes anything: it is stored, or the rate that follows it.
    pub fn counts(&self, sel: DataSel) -> bool {
        self.has(sel) || rate_of(sel).is_some_and(|rate| self.has(rate))
    }

    /// The value at `now`; `None` when it is not stored.
    pub fn read(&self, record: &[u32], sel: DataSel, now: u64) -> Option<u64> {
        Some(self.place(sel)?.read(record, now))
    }

    /// Adds `delta`, and answers with the new value. A counter's rate follows when it is stored; where only the rate is,
    /// the answer is what the rate's current window counts, as in HAProxy. `None` when neither is stored. A rate takes no negative delta.
    pub fn add(&self, record: &mut [u32], sel: DataSel, delta: i64, now: u64) -> Option<u64> {
        let rate = rate_of(sel).and_then(|sel| self.place(sel));
        if let Some(place) = rate {
            place.add(record, delta, now);
        }
        match self.place(sel) {
            Some(place) => {
                place.add(record, delta, now);
                Some(place.read(record, now))
            }
            None => Some(rate?.rate(record).current),
        }
    }

    /// Adds to those of these that are stored. None of them is an element of an array, or followed by a rate.
    pub fn count(&self, record: &mut [u32], counts: &[(Kind, i64)], now: u64) {
        for &(kind, delta) in counts {
            debug_assert!(rate_of(kind.into()).is_none(), "{kind:?}");
            let field = self.fields[kind as usize];
            if field.elements > 0 {
                let place = Place { at: field.at as usize, form: kind.info().form, period: field.period };
                place.add(record, delta, now);
            }
        }
    }

    /// Sets a value; of a rate, the events of a window that begins at `now`. False when it is not stored.
    pub fn set(&self, record: &mut [u32], sel: DataSel, value: u64, now: u64) -> bool {
        let Some(place) = self.place(sel) else { return false };
        place.set(record, value, now);
        true
    }

    fn place(&self, sel: DataSel) -> Option<Place> {
        let field = self.fields[sel.kind as usize];
        if sel.index < field.elements {
            let form = sel.kind.info().form;
            let at = field.at as usize + usize::from(sel.index) * form.words();
            return Some(Place { at, form, period: field.period });
        }
        if field.elements > 0 || sel.index > 0 {
            return None;
        }
        let (array, index) = match sel.kind {
            Kind::Gpc0 => (Kind::Gpc, 0),
            Kind::Gpc1 => (Kind::Gpc, 1),
            Kind::Gpc0Rate => (Kind::GpcRate, 0),
            Kind::Gpc1Rate => (Kind::GpcRate, 1),
            Kind::Gpt0 => (Kind::Gpt, 0),
            _ => return None,
        };
        self.place(DataSel::nth(array, index))
    }
}

impl Place {
    fn read(self, record: &[u32], now: u64) -> u64 {
        match self.form {
            Form::Count => u64::from(record[self.at]),
            Form::Wide => wide(record, self.at),
            Form::Rate | Form::WideRate => self.rate(record).read(self.period, now),
        }
    }

    fn add(self, record: &mut [u32], delta: i64, now: u64) {
        match self.form {
            Form::Count => {
                let value = i64::from(record[self.at]).saturating_add(delta);
                record[self.at] = u32::try_from(value.max(0)).unwrap_or(u32::MAX);
            }
            Form::Wide => set_wide(record, self.at, wide(record, self.at).saturating_add_signed(delta)),
            Form::Rate | Form::WideRate => {
                // Adding nothing must not begin a window.
                if let Ok(events @ 1..) = u64::try_from(delta) {
                    let mut rate = self.rate(record);
                    rate.add(events, self.period, now, self.most());
                    self.set_rate(record, rate);
                }
            }
        }
    }

    fn set(self, record: &mut [u32], value: u64, now: u64) {
        let value = value.min(self.most());
        match self.form {
            Form::Count => record[self.at] = value as u32,
            Form::Wide => set_wide(record, self.at, value),
            Form::Rate | Form::WideRate => self.set_rate(record, Rate { start: now, current: value, last: 0 }),
        }
    }

    fn most(self) -> u64 {
        match self.form {
            Form::Count | Form::Rate => u64::from(u32::MAX),
            Form::Wide | Form::WideRate => u64::MAX,
        }
    }

    fn rate(self, record: &[u32]) -> Rate {
        let start = wide(record, self.at);
        match self.form {
            Form::WideRate => Rate { start, current: wide(record, self.at + 2), last: wide(record, self.at + 4) },
            Form::Count | Form::Wide | Form::Rate => {
                Rate { start, current: u64::from(record[self.at + 2]), last: u64::from(record[self.at + 3]) }
            }
        }
    }

    fn set_rate(self, record: &mut [u32], rate: Rate) {
        set_wide(record, self.at, rate.start);
        if self.form == Form::WideRate {
            set_wide(record, self.at + 2, rate.current);
            set_wide(record, self.at + 4, rate.last);
        } else {
            record[self.at + 2] = rate.current as u32;
            record[self.at + 3] = rate.last as u32;
        }
    }
}

/// The rate that follows a counter.
fn rate_of(sel: DataSel) -> Option<DataSel> {
    match sel.kind {
        Kind::Gpc0 => Some(Kind::Gpc0Rate.into()),
        Kind::Gpc1 => Some(Kind::Gpc1Rate.into()),
        Kind::Gpc => Some(DataSel::nth(Kind::GpcRate, sel.index)),
        _ => None,
    }
}

/// The 64 bits in two words.
pub(super) fn wide(words: &[u32], at: usize) -> u64 {
    u64::from(words[at]) | u64::from(words[at + 1]) << 32
}

/// Puts 64 bits in two words.
pub(super) fn set_wide(words: &mut [u32], at: usize, value: u64) {
    words[at] = value as u32;
    words[at + 1] = (value >> 32) as u32;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn layout(store: &[&str]) -> (Layout, Vec<u32>) {
        let layout = Layout::new(&store.iter().map(|word| Data::parse(word).unwrap()).collect::<Vec<_>>());
        let record = vec![0; layout.words];
        (layout, record)
    }

    #[test]
    fn every_type_has_a_place_of_its_own() {
        let words: Vec<String> = DATA
            .iter()
            .filter(|info| !matches!(info.kind, Kind::Gpc | Kind::GpcRate | Kind::Gpt))
            .map(|info| if info.form.is_rate() { format!("{}(10s)", info.name) } else { info.name.to_owned() })
            .collect();
        let (layout, mut record) = layout(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let stored: Vec<_> = DATA.iter().filter(|info| layout.fields[info.kind as usize].elements > 0).collect();
        assert_eq!(stored.len(), words.len());
        for (n, info) in stored.iter().enumerate() {
            assert!(layout.set(&mut record, info.kind.into(), 100 + n as u64, 5));
        }
        for (n, info) in stored.iter().enumerate() {
            assert_eq!(layout.read(&record, info.kind.into(), 5), Some(100 + n as u64), "{}", info.name);
        }
    }

    #[test]
    fn old_names_reach_the_array_but_not_the_other_way() {
        let (array, mut record) = layout(&["gpc(1)", "gpc_rate(2,10s)", "gpt(1)"]);
        assert_eq!(array.add(&mut record, Kind::Gpc0.into(), 2, 0), Some(2));
        assert_eq!(array.read(&record, Kind::Gpc.into(), 0), Some(2));
        assert_eq!(array.read(&record, Kind::Gpc0Rate.into(), 0), Some(2));
        assert_eq!(array.read(&record, DataSel::nth(Kind::GpcRate, 1), 0), Some(0));
        assert_eq!(array.read(&record, DataSel::nth(Kind::Gpc, 1), 0), None);
        // Only the rate of the second counter is stored: it counts, and it is the answer.
        assert_eq!(array.add(&mut record, Kind::Gpc1.into(), 1, 0), Some(1));
        assert_eq!(array.add(&mut record, Kind::Gpc1.into(), 1, 15_000), Some(1));
        assert_eq!(array.read(&record, Kind::Gpc1Rate.into(), 15_000), Some(1));
        assert_eq!(array.read(&record, Kind::Gpc1.into(), 0), None);
        assert!(array.set(&mut record, Kind::Gpt0.into(), 9, 0));
        assert_eq!(array.read(&record, Kind::Gpt.into(), 0), Some(9));

        let (old, mut record) = layout(&["gpc0", "gpc1_rate(1s)"]);
        assert_eq!(old.add(&mut record, Kind::Gpc.into(), 1, 0), None);
        assert_eq!(old.add(&mut record, Kind::Gpc1.into(), 1, 0), Some(1));
        assert_eq!(old.add(&mut record, Kind::ConnCnt.into(), 1, 0), None);
    }

    #[test]
    fn counters_stop_at_both_ends() {
        let (layout, mut record) = layout(&["gpc0", "bytes_in_cnt", "bytes_out_rate(1s)"]);
        assert_eq!(layout.add(&mut record, Kind::Gpc0.into(), i64::MAX, 0), Some(u64::from(u32::MAX)));
        assert_eq!(layout.add(&mut record, Kind::Gpc0.into(), i64::MIN, 0), Some(0));
        layout.set(&mut record, Kind::BytesInCnt.into(), u64::MAX - 1, 0);
        assert_eq!(layout.add(&mut record, Kind::BytesInCnt.into(), 5, 0), Some(u64::MAX));
        assert_eq!(layout.add(&mut record, Kind::BytesOutRate.into(), 1 << 40, 7), Some(1 << 40));
        assert_eq!(layout.add(&mut record, Kind::BytesOutRate.into(), -5, 7), Some(1 << 40));
    }
}
