// A list that lives in a file: what it says now. The composition reads the file and gives what it
// read to `adopt`; sessions of all loops ask at each decision, so a changed file counts at once.

import Synchronization

package final class WatchedList: Sendable {
    package let path: String
    package let form: ListForm
    private let state = Mutex(EntryList())

    package init(path: String, form: ListForm) {
        self.path = path
        self.form = form
    }

    package var current: EntryList { state.withLock { $0 } }

    package func adopt(_ list: EntryList) { state.withLock { $0 = list } }
}
