import EkidenMail
import EkidenRuntime
import Testing

@Suite struct NameContractTests {
    @Test(arguments: worlds)
    func `A list has all entries, sorted, with kind and size`(world: DiskWorld) async throws {
        try await world.run { disk in
            #expect(try await disk.list("") == [])
            try await disk.put("b", "12345")
            try await disk.put("a10", "")
            try await disk.put("a9", "1")
            try await disk.put("B", "12")
            try await disk.makeDirectory("c")
            try await disk.put("c/inner", "123")
            #expect(
                try await disk.list("") == [
                    DiskEntry(name: "B", byteCount: 2, isDirectory: false),
                    DiskEntry(name: "a10", byteCount: 0, isDirectory: false),
                    DiskEntry(name: "a9", byteCount: 1, isDirectory: false),
                    DiskEntry(name: "b", byteCount: 5, isDirectory: false),
                    DiskEntry(name: "c", byteCount: 0, isDirectory: true),
                ]
            )
            #expect(try await disk.list("c").map(\.name) == ["inner"])
            #expect(
                await kind { () throws(DiskFailure) in _ = try await disk.list("none") }
                    == .notFound
            )
            #expect(
                await kind { () throws(DiskFailure) in _ = try await disk.list("b") } == .notFound
            )
        }
    }

    @Test(arguments: worlds)
    func `A directory is made once, and only inside another`(world: DiskWorld) async throws {
        try await world.run { disk in
            try await disk.makeDirectory("d")
            #expect(
                await kind { () throws(DiskFailure) in try await disk.makeDirectory("d") }
                    == .exists
            )
            #expect(
                await kind { () throws(DiskFailure) in try await disk.makeDirectory("no/d") }
                    == .notFound
            )
            try await disk.put("f", "")
            #expect(
                await kind { () throws(DiskFailure) in try await disk.makeDirectory("f") }
                    == .exists
            )
            #expect(
                await kind { () throws(DiskFailure) in try await disk.makeDirectory("f/d") }
                    == .notFound
            )
            try await disk.makeDirectory("d/e")
            #expect(
                try await disk.list("d") == [DiskEntry(name: "e", byteCount: 0, isDirectory: true)]
            )
        }
    }

    @Test(arguments: worlds)
    func `A rename takes the place of what has that name`(world: DiskWorld) async throws {
        try await world.run { disk in
            try await disk.put("new", "new")
            try await disk.put("old", "old")
            let old = try await disk.open("old", .readWrite, lane: .bulk)
            let new = try await disk.open("new", .readWrite, lane: .bulk)
            try await disk.rename("new", to: "old")
            #expect(try await disk.list("").map(\.name) == ["old"])
            #expect(try await disk.text(of: "old") == "new")
            // Open files follow the file, not the name.
            #expect(try await disk.read(old, at: 0, count: 10).text == "old")
            try await disk.write("NEW", to: new, at: 0)
            #expect(try await disk.text(of: "old") == "NEW")
            await disk.close(old)
            await disk.close(new)
            try await disk.rename("old", to: "old")
            #expect(try await disk.text(of: "old") == "NEW")
        }
    }

    @Test(arguments: worlds)
    func `A rename from one directory to another moves the file`(world: DiskWorld) async throws {
        try await world.run { disk in
            try await disk.makeDirectory("a")
            try await disk.makeDirectory("b")
            try await disk.put("a/f", "moved")
            try await disk.rename("a/f", to: "b/g")
            #expect(try await disk.list("a") == [])
            #expect(try await disk.text(of: "b/g") == "moved")
            try await disk.rename("b", to: "a/b")
            #expect(try await disk.text(of: "a/b/g") == "moved")
        }
    }

    @Test(arguments: worlds)
    func `A rename that can't be says why and changes nothing`(world: DiskWorld) async throws {
        try await world.run { disk in
            try await disk.put("f", "file")
            try await disk.makeDirectory("d")
            try await disk.put("d/inner", "")
            try await disk.makeDirectory("e")
            let cases: [(String, String, DiskFailure.Kind)] = [
                ("none", "g", .notFound), ("f", "none/g", .notFound), ("none/f", "g", .notFound),
                // EISDIR, ENOTDIR, ENOTEMPTY.
                ("f", "d", .other), ("d", "f", .notFound), ("e", "d", .other),
                // EINVAL: into itself.
                ("d", "d/below", .other),
            ]
            for (path, new, expected) in cases {
                let found = await kind { () throws(DiskFailure) in
                    try await disk.rename(path, to: new)
                }
                #expect(found == expected, "\(path) to \(new)")
            }
            #expect(try await disk.list("").map(\.name) == ["d", "e", "f"])
            #expect(try await disk.list("d").map(\.name) == ["inner"])
            #expect(try await disk.text(of: "f") == "file")
            // Over an empty directory it goes.
            try await disk.rename("d", to: "e")
            #expect(try await disk.list("e").map(\.name) == ["inner"])
        }
    }

    @Test(arguments: worlds)
    func `Only files are removed, and only once`(world: DiskWorld) async throws {
        try await world.run { disk in
            try await disk.put("f", "")
            try await disk.makeDirectory("d")
            try await disk.remove("f")
            #expect(
                await kind { () throws(DiskFailure) in try await disk.remove("f") } == .notFound
            )
            #expect(
                await kind { () throws(DiskFailure) in try await disk.remove("no/f") } == .notFound
            )
            #expect(await kind { () throws(DiskFailure) in try await disk.remove("d") } == .other)
            #expect(try await disk.list("").map(\.name) == ["d"])
        }
    }

    @Test(arguments: worlds)
    func `A directory is synced where there is one`(world: DiskWorld) async throws {
        try await world.run { disk in
            try await disk.makeDirectory("d")
            try await disk.put("f", "")
            try await disk.syncDirectory("")
            try await disk.syncDirectory("d")
            #expect(
                await kind { () throws(DiskFailure) in try await disk.syncDirectory("no") }
                    == .notFound
            )
            #expect(
                await kind { () throws(DiskFailure) in try await disk.syncDirectory("f") }
                    == .notFound
            )
        }
    }

    @Test(arguments: worlds)
    func `What a reused file held before is there until it is written over`(
        world: DiskWorld
    ) async throws {
        try await world.run { disk in
            try await disk.put("1.segment", "frames of old")
            try await disk.rename("1.segment", to: "1.spare")
            try await disk.rename("1.spare", to: "2.segment")
            let file = try await disk.open("2.segment", .readWrite, lane: .log)
            try await disk.write("new", to: file, at: 0)
            #expect(try await disk.read(file, at: 0, count: 100).text == "newmes of old")
            await disk.close(file)
        }
    }
}
