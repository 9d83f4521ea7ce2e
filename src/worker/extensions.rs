//! Data of an attempt by its type, which middleware hands on to the handler.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

type Values = HashMap<TypeId, Arc<dyn Any + Send + Sync>>;

/// At most one value of each type. Boxed, because every job in flight has it and few use it.
#[derive(Default)]
pub(super) struct Extensions(Mutex<Option<Box<Values>>>);

impl Extensions {
    /// Replaces a former value of this type.
    pub fn insert<T: Send + Sync + 'static>(&self, value: T) {
        let former = self.0.lock().get_or_insert_default().insert(TypeId::of::<T>(), Arc::new(value));
        // Not under the lock: its drop may use the extensions.
        drop(former);
    }

    /// Drops all values.
    pub fn clear(&self) {
        let values = self.0.lock().take();
        drop(values);
    }

    pub fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let value = self.0.lock().as_ref()?.get(&TypeId::of::<T>()).map(Arc::clone)?;
        value.downcast().ok()
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Extensions({})", self.0.lock().as_ref().map_or(0, |values| values.len()))
    }
}
