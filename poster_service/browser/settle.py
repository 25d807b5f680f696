"""What a page still waits for when it has loaded: fonts, pictures, and what is lazy."""

# Runs once the page has loaded. Lazy pictures below the viewport would never load by themselves,
# and a full-page picture shows them; `decode` fails for a broken one, which is no reason to wait.
PAINTED = """(async () => {
    const settle = async (page) => {
        const frames = [...page.querySelectorAll('iframe')].map(async (frame) => {
            const waits = frame.loading === 'lazy' && frame.contentDocument?.URL === 'about:blank';
            const loaded = new Promise((done) => frame.addEventListener('load', done));
            frame.loading = 'eager';
            if (waits && frame.src) await loaded;
            if (frame.contentDocument) await settle(frame.contentDocument);
        });
        const pictures = [...page.images].map((picture) => {
            picture.loading = 'eager';
            return picture.decode().catch(() => {});
        });
        page.documentElement?.getBoundingClientRect();  // fonts are asked for when text is laid out
        await Promise.all([...frames, ...pictures, page.fonts.ready]);
    };
    await settle(document);
})()"""
