// The operations of a simulated disk that change and list names. Their errors are those of Linux,
// which the contract tests hold it to.

import EkidenMail
import EkidenRuntime

extension SimDisk {
    package func list(_ path: String) async throws(DiskFailure) -> [DiskEntry] {
        try await perform(.list, path) { [self] _ in
            guard let directory = image.directory(path) else {
                return failure(.notFound, .list, path)
            }
            return .success(
                directory.current.keys.sorted().compactMap { name in
                    switch directory.current[name] {
                    case .file(let inode):
                        DiskEntry(name: name, byteCount: inode.current.count, isDirectory: false)
                    case .directory: DiskEntry(name: name, byteCount: 0, isDirectory: true)
                    case nil: nil
                    }
                }
            )
        }
    }

    package func makeDirectory(_ path: String) async throws(DiskFailure) {
        try await perform(.makeDirectory, path) { [self] _ -> Result<Void, DiskFailure> in
            let (directory, name) = image.parent(path)
            guard let directory else { return failure(.notFound, .makeDirectory, path) }
            if image.node(path) != nil { return failure(.exists, .makeDirectory, path) }
            if freeInodes == 0 { return failure(.noSpace, .makeDirectory, path) }
            if freeInodes != .max { freeInodes -= 1 }
            let made = SimDirectory(number: image.number())
            image.change(
                made.number,
                [SimChange.Edit(directory: directory, name: name, node: .directory(made))]
            )
            return .success(())
        }
    }

    package func rename(_ path: String, to new: String) async throws(DiskFailure) {
        try await perform(.rename, path, " to \(new)") { [self] _ -> Result<Void, DiskFailure> in
            let (directory, name) = image.parent(path)
            let (target, newName) = image.parent(new)
            guard let directory, let target, let node = directory.current[name] else {
                return failure(.notFound, .rename, path)
            }
            // EINVAL: a directory into itself.
            if ("/" + new + "/").hasPrefix("/" + path + "/"), path != new {
                return failure(.other, .rename, path)
            }
            var replaced: SimInode?
            switch (node, target.current[newName]) {
            case (_, nil): break
            case (.file(let inode), .file(let old)):
                // POSIX rename: two names of one file: nothing happens.
                if inode === old { return .success(()) }
                replaced = old
            case (.directory(let moved), .directory(let old)):
                if moved === old { return .success(()) }
                if !old.current.isEmpty { return failure(.other, .rename, path) }
            // EISDIR, and ENOTDIR for the other way round.
            case (.file, .directory): return failure(.other, .rename, path)
            case (.directory, .file): return failure(.notFound, .rename, path)
            }
            image.change(
                node.number,
                [
                    SimChange.Edit(directory: directory, name: name, node: nil),
                    SimChange.Edit(directory: target, name: newName, node: node),
                ]
            )
            if let replaced { giveBackInode(replaced) }
            return .success(())
        }
    }

    package func remove(_ path: String) async throws(DiskFailure) {
        try await perform(.remove, path) { [self] _ -> Result<Void, DiskFailure> in
            let (directory, name) = image.parent(path)
            switch directory?.current[name] {
            case .file(let inode):
                guard let directory else { return failure(.notFound, .remove, path) }
                image.change(
                    inode.number,
                    [SimChange.Edit(directory: directory, name: name, node: nil)]
                )
                giveBackInode(inode)
                return .success(())
            // Linux unlink: EISDIR.
            case .directory: return failure(.other, .remove, path)
            case nil: return failure(.notFound, .remove, path)
            }
        }
    }

    package func syncDirectory(_ path: String) async throws(DiskFailure) {
        try await perform(
            .syncDirectory,
            path,
            failed: { [self] in
                if let directory = image.directory(path) { image.failSync(directory) }
            },
            { [self] _ -> Result<Void, DiskFailure> in
                guard let directory = image.directory(path) else {
                    return failure(.notFound, .syncDirectory, path)
                }
                image.sync(directory)
                return .success(())
            }
        )
    }
}
