// What `ekiden status` says of a certificate that listeners or next hops are shown.

import EkidenMail

package struct CertificateRow: Sendable, Equatable {
    /// Path of its file.
    package var file: String
    /// DNS names and mail addresses it is for.
    package var names: [String]
    /// When it is no longer valid.
    package var end: WallTime?
    /// Why the newer files on disk are not used; nil: those in use are the newest.
    package var trouble: String?

    package init(file: String, names: [String], end: WallTime?, trouble: String?) {
        self.file = file
        self.names = names
        self.end = end
        self.trouble = trouble
    }

    func write(_ w: inout JSONWriter) {
        w.field("file", file)
        w.field("names", names)
        w.field("end", end)
        w.field("trouble", trouble)
    }

    init(_ object: JSONObject) throws(JSONProblem) {
        file = try object.string("file")
        names = try object.strings("names")
        end = try object.optionalTime("end")
        trouble = try object.optionalString("trouble")
    }
}
