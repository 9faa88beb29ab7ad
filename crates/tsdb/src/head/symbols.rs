//! Label names and values as integers: each text is kept once.

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

/// Texts by number.
#[derive(Default)]
pub(crate) struct Symbols {
    list: Vec<Symbol>,
    free: Vec<u32>,
    by_text: HashTable<u32>,
    hasher: DefaultHashBuilder,
    bytes: usize,
}

struct Symbol {
    text: Box<str>,
    users: u32,
}

impl Symbols {
    /// The number of a text that is known.
    pub fn find(&self, text: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(text);
        self.by_text.find(hash, |i| &*self.list[*i as usize].text == text).copied()
    }

    /// The text of a number; empty where there is none.
    pub fn text(&self, symbol: u32) -> &str {
        self.list.get(symbol as usize).map_or("", |s| &s.text)
    }

    /// The number of a text, with one user more.
    pub fn add(&mut self, text: &str) -> u32 {
        let number = self.find(text).unwrap_or_else(|| self.insert(text));
        self.list[number as usize].users += 1;
        number
    }

    fn insert(&mut self, text: &str) -> u32 {
        let symbol = Symbol { text: text.into(), users: 0 };
        self.bytes += text.len();
        let number = match self.free.pop() {
            Some(number) => {
                self.list[number as usize] = symbol;
                number
            }
            None => {
                self.list.push(symbol);
                self.list.len() as u32 - 1
            }
        };
        let (list, hasher) = (&self.list, &self.hasher);
        let hash = |i: &u32| hasher.hash_one(&*list[*i as usize].text);
        self.by_text.insert_unique(hasher.hash_one(text), number, hash);
        number
    }

    /// One user less; the last one takes the text along.
    pub fn release(&mut self, number: u32) {
        let Some(symbol) = self.list.get_mut(number as usize) else { return };
        symbol.users = symbol.users.saturating_sub(1);
        if symbol.users > 0 {
            return;
        }
        let hash = self.hasher.hash_one(&*symbol.text);
        if let Ok(entry) = self.by_text.find_entry(hash, |i| *i == number) {
            entry.remove();
        }
        self.bytes -= symbol.text.len();
        *symbol = Symbol { text: Box::default(), users: 0 };
        self.free.push(number);
    }

    /// Bytes of memory, about.
    pub fn memory(&self) -> usize {
        self.list.len() * (size_of::<Symbol>() + 8 + 16) + self.bytes
    }
}
