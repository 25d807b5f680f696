"""What people type who come from somewhere else, and what it is called here.

Names of puppeteer, Playwright, browserless, Gotenberg, Cloudflare, wkhtmltopdf and other services,
and plain synonyms. Each stands in the error for that name, and nowhere else: a request with one is
refused all the same. Names that are only spelled otherwise (`fullPage`) need no entry.
"""

import re

from poster_service.similar import folded

_PLACE = re.compile(r"\.[0-9]+\.")
#: The group of one of several outputs, whose options have the names of the outermost ones.
_OUTPUT = re.compile(r"^outputs\.0\.")
_OPTION = re.compile(r"[a-z_0-9]+(\.[a-z_0-9]+)*")
_DARK = 'media_features: {"prefers-color-scheme": "dark"}'
_DEVICE = "width, height, device_scale_factor, mobile, touch and user_agent, one by one"
_STATUS = "wait_for.expression: window.status === '...'"
_JSON = "the header Accept: application/json, with which the answer has the picture in base64"

#: By the option, or by words that begin with it where it needs a value or a remark: the other
#: names, as `folded` has them. A name in a group has that of the group before it.
_NAMES = {
    "html": "content markup body html_content source_html raw_html",
    "markdown": "md markdown_content",
    "url": "uri href link address website page_url source_url target_url",
    "template": "template_id template_name",
    "data": "variables context params parameters payload modifications template_data merge_vars",
    "format": "type output_format image_format file_type image_type ext extension",
    "quality": "image_quality jpeg_quality compression_level",
    "png_compression": "optimize_for_speed optimize compression",
    "full_page": "full full_screen fullscreen whole_page full_height full_size",
    "full_page: true, with format: pdf": "single_page one_page",
    "selector": "element query_selector element_selector target css_selector capture_selector",
    "clip": "crop rect region",
    "clip.x": "clip.left crop_x clip_left",
    "clip.y": "clip.top crop_y clip_top",
    "clip.width": "clip.w crop_w crop_width",
    "clip.height": "clip.h crop_h crop_height",
    "background: transparent": "transparent transparency omit_background",
    "background: #rrggbb": "background_color bg bgcolor bg_color",
    "pdf.paper": "paper paper_size paper_format page_size page_format pdf.format pdf.size"
    " pdf.page_size pdf.page_format pdf.paper_size pdf.paper_format",
    "pdf.paper.width": "paper_width page_width pdf.width pdf.paper_width pdf.page_width pdf_width",
    "pdf.paper.height": "paper_height page_height pdf.height pdf.paper_height pdf.page_height"
    " pdf_height",
    "pdf.landscape: true": "orientation pdf.orientation is_landscape",
    "pdf.margin": "margins pdf.margins",
    "pdf.print_background": "background_graphics no_background pdf.background",
    "pdf.pages": "page_ranges page_range native_page_ranges pdf.page_ranges pdf.page_range"
    " pdf.ranges pdf.native_page_ranges",
    "pdf.header": "header header_template header_html pdf.header_template pdf.header_html",
    "pdf.footer": "footer footer_template footer_html pdf.footer_template pdf.footer_html",
    "pdf.header and pdf.footer": "display_header_footer pdf.display_header_footer",
    "pdf.outline": "bookmarks toc table_of_contents generate_document_outline pdf.bookmarks pdf.toc"
    " pdf.generate_document_outline",
    "pdf.tagged": "generate_tagged_pdf pdfua pdf_ua pdf.generate_tagged_pdf",
    "pdf.metadata": "metadata meta",
    "pdf.metadata.title": "title pdf.title",
    "pdf.metadata.author": "author pdf.author",
    "pdf.metadata.subject": "subject pdf.subject",
    "pdf.metadata.keywords": "keywords pdf.keywords",
    "width and height": "viewport viewport_size window_size size resolution dimensions",
    "width": "viewport_width w image_width",
    "height": "viewport_height h image_height",
    "device_scale_factor": "dpr device_pixel_ratio pixel_ratio device_scale zoom scale"
    " scale_factor",
    "device_scale_factor: 1 is 96 dpi": "dpi ppi pdf.dpi",
    "device_scale_factor: 2": "retina hidpi",
    "mobile": "is_mobile emulate_mobile",
    "touch": "has_touch",
    _DEVICE: "device device_name emulate emulate_device device_descriptor",
    "media": "emulate_media emulate_media_type emulated_media_type media_type css_media",
    "media: print": "print_media_type use_print_media",
    "media_features": "emulate_media_features emulated_media_features",
    _DARK: "color_scheme dark dark_mode theme prefers_color_scheme",
    'media_features: {"prefers-reduced-motion": "reduce"}': "reduced_motion reduce_motion",
    'media_features: {"forced-colors": "active"}': "forced_colors",
    'media_features: {"prefers-contrast": "more"}': "contrast prefers_contrast",
    "timezone": "emulate_timezone timezone_id time_zone tz",
    "locale": "lang language accept_language",
    "user_agent": "ua set_user_agent",
    "javascript": "set_java_script_enabled java_script_enabled javascript_enabled js"
    " enable_javascript set_javascript_enabled",
    "javascript: false": "disable_javascript no_javascript disable_js block_js",
    "headers": "extra_http_headers extra_httpheaders set_extra_http_headers"
    " set_extra_httpheaders extra_headers http_headers custom_header"
    " custom_headers request_headers",
    "headers: Authorization": "authorization bearer bearer_token",
    "cookies": "cookie set_cookie",
    "credentials": "authenticate http_credentials auth basic_auth http_auth",
    "credentials.username": "username user credentials.user credentials.login",
    "credentials.password": "password credentials.pass",
    "referrer": "referer goto_options.referer",
    "block.types": "reject_resource_types block_resources block_resource_types",
    "block.patterns": "block_ads ad_block block_urls block_url block_requests block_trackers",
    "block.expressions": "reject_request_pattern reject_request_patterns",
    "allow.types": "allow_resource_types",
    "allow.expressions": "allow_request_pattern allow_request_patterns",
    "respond": "request_interceptors mock intercept",
    "styles": "css style stylesheet style_sheet add_style_tag add_style_tags user_style_sheet"
    " custom_css inject_css",
    "styles.0.content": "styles.0.css styles.0.text styles.0.style",
    "styles.0.url": "styles.0.href styles.0.path styles.0.src",
    "scripts": "script add_script_tag add_script_tags run_script js_code custom_js inject_js",
    "scripts.0.content": "scripts.0.js scripts.0.code scripts.0.text scripts.0.script",
    "scripts.0.url": "scripts.0.src scripts.0.path scripts.0.href",
    "hide": "hide_selectors hide_selector hide_elements remove_elements remove mask masks",
    "freeze: true": "animations disable_animations caret no_animations",
    "scroll_page": "scroll scroll_to_bottom lazy_load autoscroll auto_scroll",
    "wait_until and timeout_ms": "goto_options navigation_options",
    "wait_until": "wait_until_event goto_options.wait_until wait_for_load_state",
    "wait_until: networkidle0": "skip_network_idle_event wait_for_network_idle network_idle",
    "wait_until: networkidle2": "skip_network_almost_idle_event",
    "wait_for.selector": "wait_for_selector wait_for_element",
    "wait_for.expression": "wait_for_function wait_for_expression wait_function wait_for.fn"
    " wait_for.function wait_for.js wait_for.script",
    "wait_for.event": "wait_for_event render_when_ready wait_for_trigger",
    "wait_for.state": "wait_for.visible wait_for.hidden",
    _STATUS: "window_status wait_window_status",
    "delay_ms": "delay wait sleep wait_delay wait_for_timeout javascript_delay ms_delay wait_ms"
    " wait_time wait_for.delay wait_for.delay_ms",
    "on_timeout: capture": "best_attempt",
    "timeout_ms": "max_wait_ms action_timeout max_timeout navigation_timeout goto_options.timeout",
    "fail_on: [script_error]": "fail_on_console_exceptions fail_on_js_error",
    "fail_on: [subresource]": "fail_on_resource_loading_failed fail_on_missing",
    "fail_on_status.page": "fail_on_http_status_codes",
    "fail_on_status.resources": "fail_on_resource_http_status_codes",
    "cache_ttl": "ttl cache cache_seconds max_age cache_time",
    "cache_ttl: 0": "fresh force no_cache refresh",
    "filename": "file_name output_filename download_name output name attachment save_as",
    "store": "save upload s3",
    "destination": "upload_url upload_to put_url",
    "cookies.0.domain": "cookies.0.url cookies.0.host",
    "cookies.0.expires": "cookies.0.max_age cookies.0.expiry",
    _JSON: "encoding response_type response base64 as_json",
    "outputs": "formats captures",
}


def _by_name() -> dict[str, str]:
    return {name: words for words, names in _NAMES.items() for name in names.split()}


#: What to write instead of a name from elsewhere, in words that begin with an option of ours.
MEANT = _by_name()


def meant(name: str, group: str = "") -> str:
    """What a name from elsewhere is here, in words; "" where it is no such name.

    Args:
        name: Was given, and is no option.
        group: The dotted name of the group that it is in, ending in a dot; empty for the outermost.
    """
    around = _OUTPUT.sub("", _PLACE.sub(".0.", group))
    return MEANT.get(around + folded(name, "."), "")


def option_in(words: str) -> str:
    """The option with which the words of `meant` begin."""
    found = _OPTION.match(words)
    return found[0] if found else ""
