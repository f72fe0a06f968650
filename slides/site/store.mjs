// 受講者のファイルを、このブラウザーに残す (IndexedDB)。2 つのタブが、互いに上書きしない:
// 書けるのは、所有者のタブだけ。所有者の番号を、書くのと同じトランザクションの中で確かめる
const NAME = 'container-steps', FILES = 'files', SETTINGS = 'settings', OWNER = 'owner';
const ANSWER = 300; // ほかのタブの返事を待つ時間 [ms]

const done = (request) => new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
});

const finished = (transaction) => new Promise((resolve, reject) => {
    transaction.oncomplete = resolve;
    transaction.onabort = transaction.onerror = () => reject(transaction.error ?? new NotOwner());
});

export class NotOwner extends Error {
    constructor() {
        super('another tab owns the files');
    }
}

// 残すもの: my/ の下の書いたもの。作り直せるものは残さない
export const isKept = (path) => /^my\//.test(path) && !/^my\/(step\d\d|rootfs)$|\.[od]$|\/\.new\./.test(path) ||
    /^steps\/.*\.(c|h|sh)$/.test(path);

export class Store extends EventTarget {
    static async open() {
        const opening = indexedDB.open(NAME, 1);
        opening.onupgradeneeded = () => [FILES, SETTINGS].forEach((name) => opening.result.createObjectStore(name));
        const store = new Store();
        store.database = await done(opening);
        store.id = `${Date.now()}-${Math.random().toString(36).slice(2)}`;
        store.channel = new BroadcastChannel(NAME);
        store.channel.onmessage = ({ data }) => store.hear(data);
        store.owns = false;
        if (!await store.ownerIsAlive())
            await store.take();
        return store;
    }

    hear({ type, id }) {
        if (type === 'alive?' && this.owns)
            this.channel.postMessage({ type: 'alive', id: this.id });
        if (type === 'alive')
            this.heard?.();
        if (type === 'taken' && id !== this.id && this.owns)
            this.lose();
    }

    ownerIsAlive() {
        this.channel.postMessage({ type: 'alive?' });
        return new Promise((resolve) => {
            this.heard = () => resolve(true);
            setTimeout(resolve, ANSWER, false);
        });
    }

    // このタブを所有者にする
    async take() {
        const transaction = this.database.transaction(SETTINGS, 'readwrite');
        transaction.objectStore(SETTINGS).put(this.id, OWNER);
        await finished(transaction);
        this.owns = true;
        this.channel.postMessage({ type: 'taken', id: this.id });
        this.dispatchEvent(new Event('owns'));
    }

    lose() {
        this.owns = false;
        this.dispatchEvent(new Event('lost'));
    }

    // change(store) を、所有者のときだけ行う
    async change(name, change) {
        if (!this.owns)
            throw new NotOwner();
        const transaction = this.database.transaction([FILES, SETTINGS], 'readwrite');
        const owner = transaction.objectStore(SETTINGS).get(OWNER);
        owner.onsuccess = () => {
            if (owner.result === this.id)
                change(transaction.objectStore(name));
            else
                transaction.abort();
        };
        try {
            await finished(transaction);
        } catch (error) {
            if (error instanceof NotOwner || error === null)
                this.lose();
            throw error;
        }
    }

    put(path, bytes) {
        return this.change(FILES, (files) => files.put(bytes, path));
    }

    remove(path) {
        return this.change(FILES, (files) => files.delete(path));
    }

    // パスと中身の組
    async all() {
        const files = this.database.transaction(FILES).objectStore(FILES);
        const [paths, contents] = await Promise.all([done(files.getAllKeys()), done(files.getAll())]);
        return paths.map((path, at) => [path, contents[at]]);
    }

    setting(name) {
        return done(this.database.transaction(SETTINGS).objectStore(SETTINGS).get(name));
    }

    set(name, value) {
        return this.change(SETTINGS, (settings) => settings.put(value, name));
    }
}
