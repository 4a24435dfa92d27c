# uv reads uv.toml, which keeps torch to its CPU build.
FROM python:3.12-slim
RUN useradd --create-home --uid 1000 app && pip install --no-cache-dir uv
WORKDIR /home/app/proving-ground
COPY requirements.txt uv.toml ./
RUN uv pip install --system --no-cache -r requirements.txt
COPY --chown=app . .
USER app
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]
CMD ["streamlit", "run", "streamlit_app.py", "--server.headless=true", "--server.address=0.0.0.0"]
